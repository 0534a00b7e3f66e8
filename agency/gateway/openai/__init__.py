"""The OpenAI wire format, translated to /api/chat and back: real hosts lose mid-stream errors on their own /v1."""
