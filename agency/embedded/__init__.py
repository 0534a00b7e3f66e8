"""The embedded installation: one machine, one process group, nothing to install but Python."""
