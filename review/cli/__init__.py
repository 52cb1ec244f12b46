"""Judging without a screen: options and commands."""
