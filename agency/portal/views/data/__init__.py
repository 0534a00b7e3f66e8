"""Data of a pipeline: files in, uploads and sources, what datasets hold."""
