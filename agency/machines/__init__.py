"""The doors of machines: HTTPS and JSON, opened by a machine's token, and addresses that open one file for a while."""
