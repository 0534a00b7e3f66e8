"""Settings of many pipelines at once: presets that pipelines follow, copies, and one change over many clients.

A pipeline follows a preset in every field that can be followed and is not its own. A field becomes its own when
somebody saves another value there, and stops being so when somebody saves the preset's.
"""
