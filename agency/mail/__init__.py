"""Mails: what a notice says, composed from one report object; sending is the outbox's work."""
