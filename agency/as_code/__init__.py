"""A pipeline's settings as a file that lies in somebody's repository: written, compared, applied."""
