"""Writing an archive: open formats, streamed, nothing of a neighbour, no secret."""
