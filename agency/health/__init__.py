"""Is it alive, is it ready, and what is wrong: for load balancers, for watchers, for whoever is called at night."""
