"""Text that a spreadsheet would run as a formula is guarded by an apostrophe, and taken back."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guard(text: str) -> str:
    """Return a cell that is shown and never run; NULs, which no table may hold, are left out."""
    text = text.replace("\0", "")
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def unguard(text: str) -> str:
    """Return what a cell held before it was guarded."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_STARTS) else text
