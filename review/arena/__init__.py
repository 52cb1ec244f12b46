"""Any prompt of a person's own to two hidden models, a verdict, then their names."""
