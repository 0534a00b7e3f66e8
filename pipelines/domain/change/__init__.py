"""When a rollout may move, and what moved: windows and blackouts, and the state that a ledger adds up to."""
