"""Reviews, responses and verdicts as rows of the database."""
