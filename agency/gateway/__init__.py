"""The data plane: a pure ASGI app between a client's programs and the client's model hosts."""
