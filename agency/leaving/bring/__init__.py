"""Reading an archive back, into this installation or another: new ids, same digests."""
