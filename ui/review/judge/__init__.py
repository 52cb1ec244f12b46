"""The judging component: its server functions beside its markup, style and scripts."""
