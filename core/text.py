"""Text from outside, before it is kept or shown: half characters, control characters, length.

Knows nothing of its meaning.
"""

import re

LONGEST_SENTENCE = 600  # characters of a message, whatever it quotes
_HALF = re.compile("[\ud800-\udfff]")
# C0 and C1 controls but for tab and line feed: a terminal would obey them
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_ENDS = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_DEEPEST = 60  # levels of lists and objects that are looked into


def has_half_character(text: str) -> bool:
    """Return whether a lone UTF-16 surrogate is in a text, which neither UTF-8 nor SQLite can hold."""
    return _HALF.search(text) is not None


def holds_half_character(value: object, depth: int = 0) -> bool:
    """Return whether any text in a JSON value, its keys too, has a lone surrogate."""
    if isinstance(value, str):
        return has_half_character(value)
    if depth >= _DEEPEST:
        return False
    if isinstance(value, dict):
        return any(holds_half_character(part, depth + 1) for item in value.items() for part in item)
    return isinstance(value, list | tuple) and any(
        holds_half_character(part, depth + 1) for part in value
    )


def whole_characters(text: str) -> str:
    """Return a text with every lone surrogate replaced by U+FFFD."""
    return _HALF.sub("\ufffd", text)


def trimmed(text: str) -> str:
    """Return a text without white space at its end and blank lines before its start.

    The indentation of its first line stays, for code means something by it; one blank is none.
    """
    text = text.rstrip()
    body = text.lstrip()
    indentation = _LINE_ENDS.split(text[: len(text) - len(body)])[-1]
    return body if indentation in {"", " "} else indentation + body


def shortened(text: str, longest: int = 80) -> str:
    """Return a text for quoting in a sentence: on one line, and cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 2]} …"


def printable(text: str) -> str:
    r"""Return a text that a terminal shows and never obeys: control characters as ``\x1b``."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def printable_json(text: str) -> str:
    """Return JSON on one line in which the controls that JSON lets through (C1 and delete) are
    escaped, too.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
