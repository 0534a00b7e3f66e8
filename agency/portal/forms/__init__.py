"""Forms: parse and refuse with sentences; they never write."""
