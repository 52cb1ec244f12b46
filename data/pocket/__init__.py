"""The pocket world: the recipe of Fuata's small base model and of the sample it is tuned on.

Knows no screen and no store.
"""
