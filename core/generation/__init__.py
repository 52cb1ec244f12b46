"""Prompts become responses: streaming one, many at once. Knows no screen and no database."""
