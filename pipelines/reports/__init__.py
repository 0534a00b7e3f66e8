"""Reads: what pages, mails and the API show, as frozen values. Nothing here writes."""
