"""The whole installation as one file: the database of one moment, and every artifact that it names.

An archive is a tar: `artifacts/<client>/<digest>`, `database`, and last `manifest.json`: a file that was cut off has
none. Secrets in the database stay sealed; the secret key is never in an archive, only its fingerprint.
"""
