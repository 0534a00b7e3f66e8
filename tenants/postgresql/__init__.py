"""PostgreSQL under Retune: the backend that carries the scope into the database, the belts, the two roles."""
