"""Runs in the workspace: their rows, their processes, their queue, and what users do to them."""
