"""The Arena screen."""
