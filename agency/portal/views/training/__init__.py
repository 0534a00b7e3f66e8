"""Pages of models that were trained elsewhere."""
