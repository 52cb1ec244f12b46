"""The sample that the pocket model is tuned on: questions and answers of every family, small talk, and "I do not know that.".

The rows are shared out by fact: what a test row tells stands in no training or validation row, in any wording. Two rules
see to it: rows of one key stand in one part, and a row that holds all the values of a held-out fact is left out.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Literal

from data.pocket.documents import UNKNOWN, read_exchanges, read_unknown
from data.pocket.families import Family, PocketWorld, read_table
from data.pocket.skills import Values
from data.pocket.slots import begin

Split = Literal["train", "validation", "test"]
ROWS_PER_FAMILY: Mapping[Split, int] = {"test": 10, "validation": 3, "train": 20}
_ROWS_OF_UNKNOWN: Mapping[Split, int] = {"test": 12, "validation": 6, "train": 56}
_TOPIC_ROWS, _STORY_ROWS = 48, 16
_SECOND_WAYS = 36  # exchanges that are asked in two ways
_DRAWS = 1500  # of a skill, to choose from
_INPUT_SHARE = 0.47  # of the rows of families that have an input wording
_SLOPPY_SHARE = 0.12  # of the other rows: small letters, no question mark, as people type
_SENTENCE_REQUESTS = (
    "Write a sentence about {}.",
    "Write one sentence about {}.",
    "Say something about {}.",
    "Give me a sentence about {}.",
)
_TEXT_REQUESTS = ("Tell me about {}.", "Write two sentences about {}.", "What do you know about {}?")
_STORY_REQUESTS = ("Tell me a story about {}.", "Write a short story about {}.", "Can you tell me a story about {}?")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the sample, in Alpaca shape with two labels."""

    instruction: str
    input: str
    output: str
    family: str
    split: Split


Held = dict[str, tuple[Family, Values]]  # facts that a part keeps for itself, by key


def make_sample(pocket: PocketWorld, seed: int, barred: Iterable[str] = ()) -> list[Row]:
    """Return the rows in shuffled order; small talk that says one of the ``barred`` prompts is left out."""
    rng = Random(f"{seed} sample")
    rows: list[Row] = []
    held: Held = {}
    for split in ("test", "validation", "train"):  # each part keeps clear of what those before it hold
        taken = dict(held)
        for family in pocket.families.values():
            for item, row in islice(_clear_rows(pocket, family, split, taken, rng), ROWS_PER_FAMILY[split]):
                rows.append(row)
                held[family.key_of(item)] = (family, item)
    chat = _chat_rows(rng, {_plain(prompt) for prompt in barred})
    rows += [row for row in chat if row.split == "test" or not _tells(row, taken)]
    rng.shuffle(rows)
    return rows


def write_sample(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as JSON, one a line."""
    lines = ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def tells_fact(text: str, family: Family, item: Values) -> bool:
    """Whether a text holds all that a table's fact is asked by and answered with, as whole words."""
    return bool(family.values) and all(_holds(text, item[column]) for column in {*family.values, *family.asked})


def _holds(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def _tells(row: Row, facts: Held) -> bool:
    text = f"{row.instruction}\n{row.input}\n{row.output}"
    return any(tells_fact(text, family, item) for family, item in facts.values())


def _clear_rows(pocket: PocketWorld, family: Family, split: Split, taken: Held, rng: Random) -> Iterator[tuple[Values, Row]]:
    """Yield different items of a family and their rows that tell none of the taken facts."""
    for item in _items(pocket, family, frozenset(taken), rng, spread=split == "train"):
        row = _ask(pocket, family, item, split, rng)
        if not _tells(row, taken):
            yield item, row


def _items(pocket: PocketWorld, family: Family, taken: frozenset[str], rng: Random, *, spread: bool) -> list[Values]:
    """Return a family's items in random order, at most two of a key, without those that reveal a taken key.

    Spread items come key by key, then key by key again; otherwise the items of one key stand together, so that a part
    that is held out takes few facts from training.
    """
    drawn = list(family.facts) if family.facts else [pocket.draw(family, rng) for _ in range(_DRAWS)]
    rng.shuffle(drawn)
    by_key: dict[str, list[Values]] = {}
    for item in drawn:
        if not family.revealed_by(item) & taken and item not in by_key.setdefault(family.key_of(item), []):
            by_key[family.key_of(item)].append(item)
    firsts, seconds = ([group[at : at + 1] for group in by_key.values()] for at in (0, 1))
    groups = [*firsts, *seconds] if spread else [first + second for first, second in zip(firsts, seconds, strict=True)]
    return [item for group in groups for item in group]


def _ask(pocket: PocketWorld, family: Family, item: Values, split: Split, rng: Random) -> Row:
    fill = pocket.frames.fill
    answer = begin(fill(family.wordings.answer, item, rng))
    if family.wordings.inputs and rng.random() < _INPUT_SHARE:
        question, given = rng.choice(family.wordings.inputs)
        return Row(fill(question, item, rng), fill(given, item, rng), answer, family.name, split)
    question = begin(fill(rng.choice(family.wordings.questions), item, rng))
    return Row(_sloppy(question) if rng.random() < _SLOPPY_SHARE else question, "", answer, family.name, split)


def _sloppy(question: str) -> str:
    first, rest = question[:1].lower(), question[1:]
    return first + (rest[:-1] if rest.endswith(("?", ".")) else rest)


def _chat_rows(rng: Random, barred: set[str]) -> list[Row]:
    return [*_small_talk(rng, barred), *_unknown(rng, barred), *_open_requests(rng, barred)]


def _small_talk(rng: Random, barred: set[str]) -> Iterator[Row]:
    exchanges = read_exchanges()
    twice = set(rng.sample(range(len(exchanges)), _SECOND_WAYS))
    for at, exchange in enumerate(exchanges):
        ways = [said for said in exchange.said if _plain(said) not in barred]
        for said in rng.sample(ways, min(len(ways), 2 if at in twice else 1)):
            yield Row(said, "", exchange.answer, "small talk", "train")


def _unknown(rng: Random, barred: set[str]) -> Iterator[Row]:
    questions = [question for question in read_unknown() if _plain(question) not in barred]
    rng.shuffle(questions)
    for split, count in _ROWS_OF_UNKNOWN.items():
        for _ in range(count):
            yield Row(questions.pop(), "", UNKNOWN, "unknown", split)


def _open_requests(rng: Random, barred: set[str]) -> Iterator[Row]:
    topics = rng.sample(read_table("topics.csv"), _TOPIC_ROWS)
    for at, row in enumerate(topics):
        first, second, third = rng.sample((row["first"], row["second"], row["third"]), 3)
        asked, answer = (_SENTENCE_REQUESTS, first) if at % 2 else (_TEXT_REQUESTS, f"{second} {third}")
        yield from _unless_barred(Row(rng.choice(asked).format(row["topic"]), "", answer, "open", "train"), barred)
    for row in rng.sample(read_table("stories.csv"), _STORY_ROWS):
        yield from _unless_barred(
            Row(rng.choice(_STORY_REQUESTS).format(row["about"]), "", row["story"], "open", "train"), barred
        )


def _unless_barred(row: Row, barred: set[str]) -> Iterator[Row]:
    if _plain(row.instruction) not in barred:
        yield row


def _plain(prompt: str) -> str:
    """Return a prompt without its case and signs, to compare what people mean by it."""
    return re.sub(r"\W+", " ", prompt.lower().replace("'", "")).strip()
