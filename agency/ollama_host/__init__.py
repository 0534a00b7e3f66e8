"""An Ollama-compatible model host: a pure ASGI app and its model child processes, for development, tests and the demo."""
