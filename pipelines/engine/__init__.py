"""The engine: claims a row, asks its stage, settles the answer. The database is the truth, a message only a wake-up."""
