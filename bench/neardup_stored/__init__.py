"""The part of bench `neardup` that needs a database."""
