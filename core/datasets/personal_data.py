"""Likely personal data in texts: found to be looked at, and masked where a user says so.

E-mail addresses, telephone numbers, payment card numbers with a right check digit. Likely, not
certain: a number of an order may look like a telephone's.
"""

import re
from collections.abc import Callable, Collection

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
# digits in groups; told from other numbers by how many there are and what stands before them
_NUMBER = re.compile(r"[+(\d](?<![\w.,/-].)\(?\d?(?:[ ().\-/]{0,2}\d){7,18}(?!\w)")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")


def find_personal_data(text: str) -> list[tuple[str, str]]:
    """Return what looks like personal data in a text, each with its kind, in the text's order."""
    found: list[tuple[int, str, str]] = []
    if "@" in text:  # which most texts have not, and is found at once
        found += [(place.start(), "email", place.group()) for place in _EMAIL.finditer(text)]
    found += [
        (place.start(), kind, place.group())
        for place in _NUMBER.finditer(text)
        if (kind := _kind_of_number(place.group()))
    ]
    return [(kind, words) for _, kind, words in sorted(found)]


def mask_personal_data(text: str, kinds: Collection[str]) -> str:
    """Return a text with ``[EMAIL]``, ``[PHONE]`` and ``[CARD]`` in place of what is of ``kinds``."""
    if "email" in kinds:
        text = _EMAIL.sub("[EMAIL]", text)
    if {"phone", "card"} & set(kinds):
        text = _NUMBER.sub(_masks(kinds), text)
    return text


def _masks(kinds: Collection[str]) -> Callable[[re.Match[str]], str]:
    def mask(place: re.Match[str]) -> str:
        kind = _kind_of_number(place.group())
        return f"[{kind.upper()}]" if kind in kinds else place.group()

    return mask


def _kind_of_number(words: str) -> str:
    """Return what a number is: a card, a telephone, or '' for neither."""
    digits = re.sub(r"\D", "", words)
    if 13 <= len(digits) <= 19 and words[0] != "+" and _has_check_digit(digits):
        return "card"
    is_grouped = len(re.findall(r"\d+", words)) > 2  # two groups are a decimal number as well
    begins_as_one = words[0] in "+(" or (digits[0] == "0" and words[0] == "0")
    if 9 <= len(digits) <= 15 and (begins_as_one or is_grouped) and not _DATE.search(words):
        return "phone"
    return ""


def _has_check_digit(digits: str) -> bool:
    """Return whether a number ends as Luhn's rule has it (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0 and len(set(digits)) > 1
