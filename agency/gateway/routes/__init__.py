"""The route table: a snapshot, the thread that follows the database, the file that outlives both, and the admin socket."""
