"""Leaving: a client's (or an agency's) archive that opens without Retune, the way back in, and erasure."""
