"""Processes of ours that run beside us, and what they report. Knows no run, no model, no tensor."""
