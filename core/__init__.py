"""The engine: from a file of instructions to a tuned model that answers.

One folder per stage the data passes. Knows nothing of screens (``ui``) and nothing of judging
(``review``).
"""
