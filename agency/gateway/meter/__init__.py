"""The meter: what each exchange was, judged and written off the request path."""
