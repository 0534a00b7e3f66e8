"""An Ollama-compatible model host for development, tests and the demo: a pure ASGI app and its model processes."""
