"""Fill the wordings of the pocket world.

Knows how English sentences begin and count, not what they are about.
"""

from collections.abc import Mapping
from random import Random

_ONES = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SOUNDS_LIKE_YOU = (
    "eu",
    "uni",
    "use",
    "ewe",
    "ute",
    "one",
)  # written with a vowel, spoken with a consonant
_SILENT_H = ("hour", "honest", "heir")
PROPER = frozenset(
    {
        "I",
        "Earth",
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "English",
        "French",
        "Swahili",
        "Africa",
        "Europe",
        "Asia",
        "Kenya",
    }
)


def with_article(noun: str) -> str:
    """Return the noun with a or an, as it is spoken; a noun that already has an article stays."""
    if noun.startswith(("a ", "an ", "the ")):
        return noun
    vowel = noun[0].lower() in "aeiou" and not noun.startswith(_SOUNDS_LIKE_YOU)
    return f"an {noun}" if vowel or noun.startswith(_SILENT_H) else f"a {noun}"


def spell_number(number: int) -> str:
    """Return a number from 0 to 9,999 in British words: 345 is "three hundred and forty-five"."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = number % size
    joint = " " if rest >= 100 else " and "
    return f"{_ONES[number // size]} {name}" + (f"{joint}{spell_number(rest)}" if rest else "")


def begin(sentence: str) -> str:
    """Return the sentence with its first letter large, past any quotation mark; a number or a sign
    stays as it is.
    """
    at = next((at for at, sign in enumerate(sentence) if sign not in "\"'"), 0)
    return sentence[:at] + sentence[at : at + 1].upper() + sentence[at + 1 :]


def go_on(sentence: str, names: frozenset[str]) -> str:
    """Return the sentence as it stands inside another one: its first letter small unless a name
    begins it.
    """
    first = sentence.split(" ", 1)[0].rstrip(",.").removesuffix("'s")
    return sentence if first in PROPER or first in names else sentence[:1].lower() + sentence[1:]


class Slots(dict[str, str]):
    """The values of one fact, and what can be derived from them.

    `a_x` is x with its article, `low_x` x as it stands inside a sentence, `spelled_x` the number x
    in words, `head_x` and `tail_x` the first word of x and the others.
    """

    def __init__(self, values: Mapping[str, str], names: frozenset[str] = frozenset()) -> None:
        super().__init__(values)
        self._names = names

    def __missing__(self, slot: str) -> str:
        """Derive a slot. Raises KeyError for one that no fact has."""
        kind, _, name = slot.partition("_")
        value = self[name] if name else ""
        match kind:
            case "a" if name:
                return with_article(value)
            case "low" if name:
                return go_on(value, self._names)
            case "spelled" if name:
                return spell_number(int(value))
            case "head" if name:
                return value.split(" ", 1)[0]
            case "tail" if name:
                return value.split(" ", 1)[1]
        raise KeyError(slot)


class People:
    """Who fills the places that no fact fills: two people."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._known = frozenset(names)

    def fill(self, wording: str, values: Mapping[str, str], rng: Random) -> str:
        """Return the wording with the fact's values and people drawn for it."""
        first, second = rng.sample(self.names, 2)
        return wording.format_map(Slots({"N": first, "M": second, **values}, self._known))
