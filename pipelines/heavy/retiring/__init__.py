"""Taking versions off hosts that nobody goes back to soon: which ones, and how."""
