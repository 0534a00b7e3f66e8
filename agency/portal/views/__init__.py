"""Function views; the first line of each opens what its actor may see."""
