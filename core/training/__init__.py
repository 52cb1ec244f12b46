"""Batches and a model become a stream of events. Knows no screen."""
