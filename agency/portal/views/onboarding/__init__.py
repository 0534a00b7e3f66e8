"""From nothing to the first run: the wizard's five steps, and the demo client."""
