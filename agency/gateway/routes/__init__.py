"""The route table: its snapshot, the thread that follows the database, the file, the admin socket."""
