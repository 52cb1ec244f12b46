"""The training loop: a job becomes a stream of events."""
