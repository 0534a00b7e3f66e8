"""What clients are shown: the brand, the report's language, share links, examples."""
