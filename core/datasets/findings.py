"""What in rows is worth a look before they are learnt: found row by row, grouped by kind.

Knows no tokens. Every pattern is bounded, so that no text takes more time than its length.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.datasets.conversation import Example, SplitName, Turn
from core.datasets.near_duplicates import Repeats
from core.datasets.personal_data import find_personal_data
from core.progress import counted
from core.text import shortened

_PLACEHOLDER = re.compile(  # one set of first characters, so that a search is quick
    r"[{<\[T](?:(?<=\{)\{\s{0,20}\w{1,80}\s{0,20}\}\}|(?<=<)(?:INSERT|YOUR|TODO)[^<>]{0,200}>"
    r"|(?<=<)noinput>|(?<=\[)(?:INSERT|(?:Insert|YOUR|Your) )[^\[\]]{0,200}\]|(?<=\bT)ODO\b)"
)
_SHORTEST_COPIED_ANSWER = 12  # characters; shorter answers ("yes") stand in prompts by chance
_EMPTY_WORDS = frozenset({"nan", "null", "none", "n/a", "na", "nil", "undefined", "-", "--", "?"})
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
# UTF-8 that was read as Windows-1252, and characters that were lost
_MOJIBAKE = re.compile(
    "\u00c3[\u0080-\u00bf]|\u00c2[\u00a0-\u00bf]|\u00e2\u20ac.|\u00ef\u00bf\u00bd|\ufffd"
)
_HTML = re.compile(
    r"</?(?:p|div|br|span|a|b|i|em|strong|ul|ol|li|table|tr|td|h[1-6]|img|script|font)"
    r"(?:\s[^<>]{0,300})?/?>|&(?:nbsp|amp|lt|gt|quot|#\d{1,6});",
    re.IGNORECASE,
)
_MARKS = re.compile(
    r"<\|[a-z_]{2,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|###\s?(?:Instruction|Response|Human|Assistant):"
)
_BOILERPLATE = re.compile(
    r"^(?:I(?:'|’)?m (?:very )?sorry\b|I am sorry\b|Sorry,|I cannot\b|I can(?:'|’)t\b|I apologi[sz]e\b)"
    r"|\bas an? (?:AI|artificial intelligence|large language|language)\b",
    re.IGNORECASE,
)
FINDINGS_STEP = "findings"  # of a check
_LANGUAGES_OF = 5_000  # rows
_LOOKED_AT = 20_000  # characters of a turn


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of what was found, with every row it was found in."""

    kind: str  # what a recipe calls it
    title: str
    advice: str
    rows: tuple[tuple[int, str], ...]  # number, and what was found there
    can_drop: bool = True

    @property
    def numbers(self) -> tuple[int, ...]:
        """The rows' numbers."""
        return tuple(number for number, _ in self.rows)


@dataclass(frozen=True, slots=True)
class _Look:
    kind: str
    title: str
    advice: str
    words: Callable[[Example], str]  # what was found in a row, '' for nothing


def find_in_rows(examples: Sequence[Example]) -> tuple[Finding, ...]:
    """Return all that single rows show, the kinds in a fixed order; kinds without rows too."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for example in counted(examples, FINDINGS_STEP):
        for look in _LOOKS:
            if words := look.words(example):
                found[look.kind].append((example.row, words))
    return tuple(
        Finding(look.kind, look.title, look.advice, tuple(found[look.kind])) for look in _LOOKS
    )


def find_between_rows(examples: Sequence[Example], repeats: Repeats) -> tuple[Finding, ...]:
    """Return what rows show only beside others: contradictions, and repeats that a file itself puts
    on two sides of a split.
    """
    split_of = {example.row: example.split for example in examples}
    contradicting = tuple(
        (one.row, f"another answer than row {one.earlier_row}")
        for one in repeats.exact
        if not one.same_answer
    )
    across = tuple(
        (one.row, _across(split_of[one.row], one.earlier_row, split_of[one.earlier_row]))
        for one in (*repeats.exact, *repeats.near)
        if split_of[one.row] and split_of[one.earlier_row]
        and split_of[one.row] != split_of[one.earlier_row]
    )  # fmt: skip
    return (
        Finding(
            "contradicting",
            "The same prompt with different answers",
            "a model can learn only one",
            contradicting,
        ),
        Finding(
            "across_splits",
            "Repeats that the file puts into different splits",
            "what is tested was trained on",
            across,
        ),
    )


def _across(split: SplitName | None, earlier_row: int, other: SplitName | None) -> str:
    return f"asks in {split} what row {earlier_row} asks in {other}"


def languages_of(examples: Sequence[Example]) -> tuple[tuple[str, int], ...]:
    """Return the languages of answers by their ISO 639-1 codes with the number of rows, the most
    frequent first; '' for what is too short to tell. Of very many rows some are looked at.
    """
    from py3langid import langid

    looked_at = examples[:: max(len(examples) // _LANGUAGES_OF, 1)]
    counts = Counter(
        langid.classify(text[:400])[0] if (text := _letters(example.answer)) else ""
        for example in looked_at
    )
    return tuple(counts.most_common())


def _letters(text: str) -> str:
    """Return a text that is long enough for its language to be told, else ''."""
    text = text[:2000]
    return text if sum(map(str.isalpha, text)) >= 40 else ""


def _texts(example: Example) -> Iterator[str]:
    for turn in example.turns:
        yield turn.text[:_LOOKED_AT]
        if turn.input:
            yield turn.input[:_LOOKED_AT]


def _first(pattern: re.Pattern[str]) -> Callable[[Example], str]:
    """Return a look at all texts of a row for the first place of a pattern, quoted with a little of
    what is around it.
    """

    def look(example: Example) -> str:
        for text in _texts(example):
            if place := pattern.search(text):
                start = max(place.start() - 20, 0)
                return f"“{shortened(text[start : place.end() + 20], 80)}”"
        return ""

    return look


def _answer_leaks_into_prompt(example: Example) -> str:
    answer = example.answer.casefold()
    leaks = len(answer) >= _SHORTEST_COPIED_ANSWER and answer in example.prompt_text.casefold()
    return f"“{shortened(example.answer, 60)}” stands in its prompt" if leaks else ""


def _says_nothing(example: Example) -> str:
    answer = example.answer.strip()
    says = len(answer) > 1 and answer.casefold() not in _EMPTY_WORDS
    return "" if says else f"the answer is “{answer}”"


def _controls(example: Example) -> str:
    for text in _texts(example):
        if place := _CONTROLS.search(text):
            around = shortened(text[max(place.start() - 20, 0) : place.start()], 40)
            return f"U+{ord(place.group()):04X} after “{around}”"
    return ""


def _boilerplate(example: Example) -> str:
    answers: list[Turn] = [turn for turn in example.turns if turn.role == "assistant"]
    found = next((turn.text for turn in answers if _BOILERPLATE.search(turn.text[:400])), "")
    return f"“{shortened(found, 80)}”" if found else ""


def _drafted(example: Example) -> str:
    return f"“{shortened(example.answer, 80)}”" if example.drafted else ""


def _personal(example: Example) -> str:
    found = [one for text in _texts(example) for one in find_personal_data(text)]
    if not found:
        return ""
    counts = Counter(kind for kind, _ in found)
    several = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{several}: {shortened(found[0][1], 60)}"


_LOOKS = (
    _Look("drafted", "Answers that a model drafted",
          "nobody has looked at them yet: save a row when you have", _drafted),
    _Look("answer_in_prompt", "Answers that stand in their prompt", "worth a look",
          _answer_leaks_into_prompt),
    _Look("says_nothing", "Empty or one-character answers",
          "learnt as they stand: nan and null are often cells that were empty", _says_nothing),
    _Look("boilerplate", "Refusals and boilerplate openings",
          "a model learns to refuse from few of them", _boilerplate),
    _Look("placeholder", "Unfilled placeholders", "worth a look", _first(_PLACEHOLDER)),
    _Look("personal", "Likely personal data", "mask it, or leave the rows out", _personal),
    _Look("marks", "Marks of prompt styles inside texts",
          "learnt as plain characters, never as special tokens", _first(_MARKS)),
    _Look("html", "HTML inside texts", "learnt as it stands", _first(_HTML)),
    _Look("mojibake", "Text that was decoded wrongly", "the file was saved in another encoding",
          _first(_MOJIBAKE)),
    _Look("controls", "Control and invisible characters", "worth a look", _controls),
)  # fmt: skip
