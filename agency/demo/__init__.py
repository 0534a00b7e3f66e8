"""The demo: two clients, real training, real traffic, planted faults. It uses the product only from outside."""
