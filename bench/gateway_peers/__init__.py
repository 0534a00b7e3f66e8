"""What bench/gateway.py measures against, and with: an upstream, peers, a load."""
