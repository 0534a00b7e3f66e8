"""Settings of many pipelines at once: presets, copies, one change over many clients."""
