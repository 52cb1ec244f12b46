"""Ratings leave the workspace, and come in from elsewhere."""
