"""How likely texts are under a model."""
