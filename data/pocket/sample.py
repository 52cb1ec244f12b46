"""The sample that the pocket model is tuned on: questions and answers of every family, small talk,
and "I do not know that.".

The rows are shared out by fact: what a test row asks for stands in no training or validation row,
in any wording, nor in the sample of conversations. Rows of one key stand in one part, and a row is
left out that holds both what a held-out fact is asked by and its answer.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Literal

from data.pocket.chat import UNKNOWN, is_measured, read_exchanges, read_unknown
from data.pocket.families import HOME, Family, PocketWorld, read_table
from data.pocket.skills import Values
from data.pocket.slots import begin

Split = Literal["train", "validation", "test"]
ROWS_PER_FAMILY: Mapping[Split, int] = {"test": 10, "validation": 3, "train": 20}
# near what the model knows
_UNKNOWN_ROWS: Mapping[Split, int] = {"test": 12, "validation": 6, "train": 40}
_FAR_UNKNOWN_ROWS = 40
_ROLES = ("user", "assistant")
_TOPIC_ROWS, _STORY_ROWS = 42, 14
_SECOND_WAYS = 10  # exchanges that are asked in two ways
_DRAWS = 1500  # of a skill, to choose from
_INPUT_SHARE = 0.47  # of the rows of families that have an input wording
_SLOPPY_SHARE = 0.12  # of the other rows: small letters, no question mark, as people type
_SENTENCE_REQUESTS = (
    "Write a sentence about {}.",
    "Write one sentence about {}.",
    "Say something about {}.",
    "Give me a sentence about {}.",
)
_TEXT_REQUESTS = (
    "Tell me about {}.",
    "Write two sentences about {}.",
    "What do you know about {}?",
)
_STORY_REQUESTS = (
    "Tell me a story about {}.",
    "Write a short story about {}.",
    "Can you tell me a story about {}?",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the sample, in Alpaca shape with two labels."""

    instruction: str
    input: str
    output: str
    family: str
    split: Split


Held = dict[str, tuple[Family, Values]]  # facts that a part keeps for itself, by key


def make_sample(pocket: PocketWorld, seed: int) -> list[Row]:
    """Return the rows in shuffled order."""
    rng = Random(f"{seed} sample")
    rows: list[Row] = []
    held: Held = {}
    # each part keeps clear of what those before it hold
    for split in ("test", "validation", "train"):
        taken = dict(held)
        barred = (
            frozenset(taken)
            if split == "train"
            else frozenset(taken) | _told_in_conversations(pocket)
        )
        for family in pocket.families.values():
            clear = _clear_rows(pocket, family, split, (taken, barred), rng)
            for item, row in islice(clear, ROWS_PER_FAMILY[split]):
                rows.append(row)
                held[family.key_of(item)] = (family, item)
    rows += [row for row in _chat_rows(rng) if row.split == "test" or not _tells(row, taken)]
    rng.shuffle(rows)
    return rows


def write_sample(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as JSON, one a line."""
    _write_lines((asdict(row) for row in rows), path)


def write_conversations(path: Path) -> None:
    """Write the sample in conversation shape: several turns, each later one leaning on those before
    it.
    """
    rows = (
        {
            "messages": [
                {"role": role, "content": turn}
                for role, turn in zip(cycle(_ROLES), turns, strict=False)
            ]
        }
        for turns in _conversations()
    )
    _write_lines(rows, path)


def tells_fact(text: str, family: Family, item: Values) -> bool:
    """Whether a text holds all that a table's fact is asked by and answered with, as whole words."""
    return bool(family.answer_columns) and all(
        _holds(text, item[column]) for column in {*family.answer_columns, *family.question_columns}
    )


def _write_lines(rows: Iterable[Mapping[str, object]], path: Path) -> None:
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _conversations() -> list[list[str]]:
    entries = tomllib.loads((HOME / "facts/conversations.toml").read_text(encoding="utf-8"))[
        "conversation"
    ]
    return [entry["turns"] for entry in entries]


def _told_in_conversations(pocket: PocketWorld) -> frozenset[str]:
    """Return the keys of the facts that the other sample tells: they are for training."""
    text = "\n".join(turn for turns in _conversations() for turn in turns)
    told = ((family, item) for family in pocket.families.values() for item in family.facts)
    return frozenset(family.key_of(item) for family, item in told if tells_fact(text, family, item))


def _holds(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def _tells(row: Row, facts: Held) -> bool:
    text = f"{row.instruction}\n{row.input}\n{row.output}"
    return any(tells_fact(text, family, item) for family, item in facts.values())


def _clear_rows(
    pocket: PocketWorld,
    family: Family,
    split: Split,
    kept_out: tuple[Held, frozenset[str]],
    rng: Random,
) -> Iterator[tuple[Values, Row]]:
    """Yield different items of a family and their rows that tell no taken fact and have no barred
    key.
    """
    taken, barred = kept_out
    for item in _items(pocket, family, barred, rng, spread=split == "train"):
        row = _ask(pocket, family, item, split, rng)
        if not _tells(row, taken):
            yield item, row


def _items(
    pocket: PocketWorld, family: Family, taken: frozenset[str], rng: Random, *, spread: bool
) -> list[Values]:
    """Return a family's items in random order, at most two of a key, without those that reveal a
    taken key.

    Spread items come key by key, then key by key again; otherwise the items of one key stand
    together, so that a part that is held out takes few facts from training.
    """
    drawn = (
        list(family.facts) if family.facts else [pocket.draw(family, rng) for _ in range(_DRAWS)]
    )
    rng.shuffle(drawn)
    by_key: dict[str, list[Values]] = {}
    for item in drawn:
        if not family.revealed_by(item) & taken and item not in by_key.setdefault(
            family.key_of(item), []
        ):
            by_key[family.key_of(item)].append(item)
    firsts, seconds = ([group[at : at + 1] for group in by_key.values()] for at in (0, 1))
    groups = (
        [*firsts, *seconds]
        if spread
        else [first + second for first, second in zip(firsts, seconds, strict=True)]
    )
    return [item for group in groups for item in group]


def _ask(pocket: PocketWorld, family: Family, item: Values, split: Split, rng: Random) -> Row:
    fill = pocket.people.fill
    answer = begin(fill(family.wordings.answer, item, rng))
    if family.wordings.inputs and rng.random() < _INPUT_SHARE:
        question, given = rng.choice(family.wordings.inputs)
        return Row(fill(question, item, rng), fill(given, item, rng), answer, family.name, split)
    question = begin(fill(rng.choice(family.wordings.questions), item, rng))
    return Row(
        _sloppy(question) if rng.random() < _SLOPPY_SHARE else question,
        "",
        answer,
        family.name,
        split,
    )


def _sloppy(question: str) -> str:
    first, rest = question[:1].lower(), question[1:]
    return first + (rest[:-1] if rest.endswith(("?", ".")) else rest)


def _chat_rows(rng: Random) -> list[Row]:
    return [*_small_talk(rng), *_unknown(rng), *_open_requests(rng)]


def _small_talk(rng: Random) -> Iterator[Row]:
    exchanges = read_exchanges()
    twice = set(rng.sample(range(len(exchanges)), _SECOND_WAYS))
    for at, exchange in enumerate(exchanges):
        for said in rng.sample(exchange.said, min(len(exchange.said), 2 if at in twice else 1)):
            yield Row(said, "", exchange.answer, "small talk", "train")


def _unknown(rng: Random) -> Iterator[Row]:
    """Yield questions without an answer; those that are held out are of the kind that the prose has
    not heard.
    """
    near, any_kind = (
        rng.sample(questions, len(questions))
        for questions in (read_unknown("near"), read_unknown("questions"))
    )
    for split, count in _UNKNOWN_ROWS.items():
        for _ in range(count):
            yield Row(near.pop(), "", UNKNOWN, "unknown", split)
    for question in any_kind[:_FAR_UNKNOWN_ROWS]:
        yield Row(question, "", UNKNOWN, "unknown", "train")


def _open_requests(rng: Random) -> Iterator[Row]:
    requests: list[tuple[str, str]] = []
    for at, row in enumerate(rng.sample(read_table("topics.csv"), _TOPIC_ROWS)):
        first, second, third = rng.sample((row["first"], row["second"], row["third"]), 3)
        asked, answer = (
            (_SENTENCE_REQUESTS, first) if at % 2 else (_TEXT_REQUESTS, f"{second} {third}")
        )
        requests.append((rng.choice(asked).format(row["topic"]), answer))
    stories = rng.sample(read_table("stories.csv"), _STORY_ROWS)
    requests += [
        (rng.choice(_STORY_REQUESTS).format(row["about"]), row["story"]) for row in stories
    ]
    return (
        Row(request, "", answer, "open", "train")
        for request, answer in requests
        if not is_measured(request)
    )
