"""Verdicts become a result, as numbers and as text."""
