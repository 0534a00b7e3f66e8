"""In-process inference for verification and evaluation: one model per object, greedy answers, no shared state."""
