"""The families of the pocket world: their wordings and their facts, read from families/*.toml and
facts/*.csv.
"""

import csv
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from data.pocket.skills import SKILLS, SkillTables, Values
from data.pocket.slots import People

HOME = Path(__file__).parent
_FACTS = HOME / "facts"
_LONGEST_SPELLED_WORD = 6  # letters
_SPELLED_TABLES = (
    ("opposite.csv", "word"),
    ("plural.csv", "singular"),
    ("category.csv", "word"),
    ("colour.csv", "colour"),
)


@dataclass(frozen=True, slots=True)
class Wordings:
    """How a family speaks; every wording holds slots in braces."""

    topic: str  # what a page about it is headed
    answer: str  # the one sentence that answers
    statements: tuple[str, ...]  # other ways prose states it
    wonders: tuple[str, ...]  # ways prose wonders about it
    questions: tuple[str, ...]  # ways to ask, the subject in the question
    inputs: tuple[
        tuple[str, str], ...
    ] = ()  # ways to ask with the subject apart: (question, input)
    given: tuple[
        str, ...
        # what stands above the answer on a worksheet: the inputs, or what alone decides the answer
    ] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of fact or skill."""

    name: str
    wordings: Wordings
    facts: tuple[Values, ...]  # empty for a skill
    weight: float  # how often prose speaks of it, beside what its number of facts gives
    key: str  # wording of what makes two items the same fact
    reveals: tuple[str, ...] = ()  # keys of other families' facts that an item tells
    answer_columns: tuple[str, ...] = ()  # the columns that the answer tells; empty for a skill
    question_columns: tuple[str, ...] = ()  # the columns that the questions name
    skill: str = ""

    def key_of(self, item: Mapping[str, str]) -> str:
        """Return what identifies the fact; all rows with one key stand in one split."""
        return self.key.format_map(item)

    def revealed_by(self, item: Mapping[str, str]) -> frozenset[str]:
        """Return the keys of all facts that a row of this item tells."""
        return frozenset(
            {self.key_of(item), *(wording.format_map(item) for wording in self.reveals)}
        )


@dataclass(frozen=True, slots=True)
class PocketWorld:
    """All families, and what the skills and the frames draw from."""

    families: Mapping[str, Family]
    people: People
    tables: SkillTables
    frames: Mapping[str, tuple[str, ...]]  # sentences that carry statements of any family, by name

    def draw(self, family: Family, rng: Random) -> Values:
        """Draw one item of a family."""
        return rng.choice(family.facts) if family.facts else SKILLS[family.skill](self.tables, rng)


def load_world() -> PocketWorld:
    """Read every table and wording of the pocket world.

    Raises KeyError or ValueError when a table and its wordings do not fit: the recipe is ours, so
    that is a bug.
    """
    frames = {
        name: _lines(text)
        for name, text in tomllib.loads((HOME / "families/frames.toml").read_text()).items()
    }
    names = tuple(" ".join(frames.pop("names")).split())
    families = {
        family.name: family
        for path in ("words", "world", "skills")
        for family in _read_families(HOME / f"families/{path}.toml")
    }
    return PocketWorld(families, People(names), _skill_tables(names), frames)


def read_table(name: str) -> list[Values]:
    """Return the rows of facts/`name`."""
    with (_FACTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _read_families(path: Path) -> Iterator[Family]:
    for name, entry in tomllib.loads(path.read_text()).items():
        skill = entry.get("skill", "")
        answer = entry["answer"]
        facts = (
            ()
            if skill
            else tuple(_facts(entry["table"], answer, both_ways=entry.get("both_ways", False)))
        )
        columns = () if skill else tuple(column for column in facts[0] if _uses(answer, column))
        yield Family(
            name=name,
            wordings=_read_wordings(entry),
            facts=facts,
            weight=entry.get("weight", 1.0),
            key=entry.get("key") or f"{name}:{{{columns[0]}}}",
            reveals=tuple(entry.get("reveals", ())),
            answer_columns=columns,
            question_columns=tuple(
                column
                for column in (facts[0] if facts else ())
                if _uses(entry["questions"], column)
            ),
            skill=skill,
        )


def _read_wordings(entry: Mapping[str, str]) -> Wordings:
    parted = (line.split(" | ", 1) for line in _lines(entry.get("inputs", "")))
    inputs = tuple((question, given) for question, given in parted)
    return Wordings(
        topic=entry["topic"],
        answer=entry["answer"],
        statements=_lines(entry["statements"]),
        wonders=_lines(entry["wonders"]),
        questions=_lines(entry["questions"]),
        inputs=inputs,
        given=_lines(entry.get("sheets", "")) or tuple(given for _, given in inputs),
    )


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.split("\n") if line)


def _facts(table: str, answer: str, *, both_ways: bool) -> Iterator[Values]:
    """Yield the rows that have every value the answer needs, and each the other way round where
    both ways are true.
    """
    for row in read_table(table):
        if not all(value for column, value in row.items() if _uses(answer, column)):
            continue
        yield row
        if both_ways:
            one, other = row
            yield {one: row[other], other: row[one]}


def _uses(wording: str, column: str) -> bool:
    return any(f"{{{prefix}{column}}}" in wording for prefix in ("", "a_", "low_", "spelled_"))


def _skill_tables(names: tuple[str, ...]) -> SkillTables:
    categories: dict[str, list[str]] = {}
    for row in read_table("category.csv"):
        categories.setdefault(row["category"], []).append(row["word"])
    plural_kinds = {row["one"].split(" ", 1)[1]: row["kind"] for row in read_table("kinds.csv")}
    known = {row[column] for table, column in _SPELLED_TABLES for row in read_table(table)}
    words = sorted(
        word
        for word in known
        if word.isalpha() and word.islower() and 2 < len(word) <= _LONGEST_SPELLED_WORD
    )
    skill_words = tomllib.loads((_FACTS / "skill_words.toml").read_text())
    return SkillTables(
        names=names,
        words=tuple(words),
        categories={name: tuple(members) for name, members in categories.items()},
        plural_kinds=plural_kinds,
        judgements=read_table("sentiment.csv"),
        lists={
            name: tuple(" ".join(text.split()).split(" | "))
            for name, text in skill_words.items()
            if isinstance(text, str)
        },
        deeds=tuple(skill_words["deeds"].items()),
        loving=tuple(skill_words["loving"].items()),
    )
