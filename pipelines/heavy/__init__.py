"""The handlers of heavy jobs: prepare inputs, run a child process, keep what it made. One file per kind."""
