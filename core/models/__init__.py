"""What can be tuned and asked: finding, loading, adapting and saving models.

Knows no data and no run in progress.
"""
