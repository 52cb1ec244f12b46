"""Judging by people: reviews, pairs, verdicts, statistics, exports.

Knows SQLite; no screen, no torch at import.
"""
