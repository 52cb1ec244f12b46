"""What is done to the rows of a file before they are learnt: a version of it. Knows no store.

A version is its file's bytes and a recipe; both together give its hash, so what was trained on can
be made again.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.datasets.choices import (
    ANSWERS,
    PERSONAL_KINDS,
    THOUGHTS,
    Answers,
    Thoughts,
)
from core.datasets.conversation import Example, RefusedRow, SplitName, Turn
from core.datasets.dataset import Dataset, load_dataset
from core.datasets.personal_data import mask_personal_data
from core.datasets.splits_named import split_named
from core.errors import DataError, SettingsError
from core.text import shortened, trimmed

_THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEdit:
    """What a user changed of a row, or a row they added; None leaves a part as it is.

    One that changes nothing says that they have looked at a drafted answer.
    """

    row: int
    prompt: str | None = None  # the text of the last question
    answer: str | None = None
    split: SplitName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that makes a version of a file."""

    mapping: Mapping[str, str] = field(default_factory=dict)  # a meaning's column or template
    left_out: Mapping[str, Sequence[int]] = field(default_factory=dict)  # rows by kind of finding
    masked: Sequence[str] = ()  # kinds of personal data
    edits: Sequence[RowEdit] = ()  # one a row, in the order of the rows
    answers: Answers = "all"  # of several turns: which are learnt
    thoughts: Thoughts = "keep"  # what stands in <think>

    @property
    def is_empty(self) -> bool:
        """Whether the version is the file as it is."""
        return self == Recipe()

    def to_json(self) -> str:
        """Return the recipe as JSON, the same for equal ones; '{}' for none."""
        plain = {name: value for name, value in asdict(self).items() if value != _EMPTY[name]}
        return json.dumps(plain, ensure_ascii=False, sort_keys=True)

    def edited(self, edit: RowEdit) -> "Recipe":
        """Return the recipe with one more edit; of a row that has one they are joined."""
        known = {one.row: one for one in self.edits}
        before = known.get(edit.row, RowEdit(row=edit.row))
        news = {name: value for name, value in asdict(edit).items() if value is not None}
        known[edit.row] = replace(before, **news)
        return replace(self, edits=tuple(known[row] for row in sorted(known)))

    def leaving_out(self, kind: str, rows: Sequence[int]) -> "Recipe":
        """Return the recipe that leaves rows out for one more reason; none takes them in again."""
        kinds = {name: found for name, found in self.left_out.items() if name != kind}
        return replace(self, left_out=kinds | ({kind: tuple(sorted(rows))} if rows else {}))


def read_recipe(text: str) -> Recipe:
    """Return the recipe that ``to_json`` wrote."""
    plain: dict[str, Any] = json.loads(text or "{}")
    plain["edits"] = tuple(RowEdit(**edit) for edit in plain.get("edits", ()))
    plain["masked"] = tuple(plain.get("masked", ()))
    plain["left_out"] = {kind: tuple(rows) for kind, rows in plain.get("left_out", {}).items()}
    return Recipe(**plain)


_EMPTY = asdict(Recipe())


def load_version(path: Path, recipe: Recipe) -> Dataset:
    """Return a version of a file. Raises DataError and SettingsError as ``load_dataset`` does."""
    return apply_recipe(load_dataset(path, recipe.mapping), recipe)


def apply_recipe(dataset: Dataset, recipe: Recipe) -> Dataset:
    """Return the dataset that a recipe makes of a file's.

    What is left out counts as refused, with the reason, so no row is lost unsaid. Raises DataError
    where nothing is left, and SettingsError for a recipe that does not fit.
    """
    _check(recipe)
    if recipe.is_empty:
        return dataset
    examples = {example.row: example for example in dataset.examples}
    refused = {refusal.row: refusal for refusal in dataset.refused}
    for edit in recipe.edits:
        examples[edit.row] = _edited(examples.get(edit.row), edit)
        refused.pop(edit.row, None)
    count = max([dataset.row_count, *(edit.row for edit in recipe.edits)])
    for kind, rows in recipe.left_out.items():
        for row in rows:
            if examples.pop(row, None) is not None:
                refused[row] = RefusedRow(row, f"left out by you ({kind.replace('_', ' ')})")
    if not examples:
        raise DataError(f"{dataset.name} has no row left: leave fewer out.")
    return replace(
        dataset,
        content_hash=version_hash(dataset.source_hash, recipe),
        row_count=count,
        examples=tuple(with_options(examples[row], recipe) for row in sorted(examples)),
        refused=tuple(refused[row] for row in sorted(refused)),
        recipe=recipe.to_json(),
        notes=(*dataset.notes, *recipe_sentences(recipe)),
    )


def version_hash(source_hash: str, recipe: Recipe) -> str:
    """Return what identifies a version: the file's own hash where nothing is done to it."""
    if recipe.is_empty:
        return source_hash
    return hashlib.sha256(f"{source_hash}\n{recipe.to_json()}".encode()).hexdigest()


def recipe_sentences(recipe: Recipe) -> list[str]:
    """Say what a recipe does, one thing at a time."""
    said = []
    if recipe.mapping:
        said.append("its columns are mapped by hand")
    if recipe.edits:
        said.append(f"edited or added by hand: {_counted(len(recipe.edits), 'row')}")
    if recipe.masked:
        said.append(f"masked: {', '.join(recipe.masked)}")
    if recipe.answers == "last":
        said.append("of each conversation only the last answer is learnt")
    if recipe.thoughts == "read":
        said.append("what stands in <think> before an answer is read, and not learnt")
    if recipe.thoughts == "leave-out":
        said.append("what stands in <think> is left out")
    said += [
        f"left out: {_counted(len(rows), 'row')} ({kind.replace('_', ' ')})"
        for kind, rows in recipe.left_out.items()
    ]
    return said


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _check(recipe: Recipe) -> None:
    if recipe.answers not in ANSWERS:
        raise SettingsError({"answers": f"must be one of {', '.join(ANSWERS)}"})
    if recipe.thoughts not in THOUGHTS:
        raise SettingsError({"thoughts": f"must be one of {', '.join(THOUGHTS)}"})
    if unknown := [kind for kind in recipe.masked if kind not in PERSONAL_KINDS]:
        raise SettingsError(
            {"mask": f"'{shortened(unknown[0], 40)}' is none of {', '.join(PERSONAL_KINDS)}"}
        )


def _edited(example: Example | None, edit: RowEdit) -> Example:
    if edit.split is not None and split_named(edit.split) is None:
        raise DataError(f"Row {edit.row}: say train, validation or test.")
    if example is None:
        if not (edit.prompt or "").strip() or not (edit.answer or "").strip():
            raise DataError(f"Row {edit.row} needs an instruction and an answer.")
        turns = (
            Turn("user", trimmed(edit.prompt or "")),
            Turn("assistant", trimmed(edit.answer or "")),
        )
        return Example(edit.row, turns, edit.split)
    turns_now = list(example.turns)
    if edit.answer is not None:
        turns_now[-1] = _with_text(turns_now[-1], edit.answer, edit.row)
    if edit.prompt is not None and not example.is_text:
        turns_now[-2] = _with_text(turns_now[-2], edit.prompt, edit.row)
    # who saved a row has looked at it
    split = edit.split or example.split
    return replace(example, turns=tuple(turns_now), split=split, drafted=False)


def _with_text(turn: Turn, text: str, row: int) -> Turn:
    if not text.strip():
        what = "answer" if turn.role == "assistant" else "instruction"
        raise DataError(f"Row {row}: the {what} must not be empty; leave the row out instead.")
    return replace(turn, text=trimmed(text))


def with_options(example: Example, recipe: Recipe) -> Example:
    """Return a row as the recipe's options have it."""
    turns = example.turns
    if recipe.masked:
        turns = tuple(
            replace(
                turn,
                text=mask_personal_data(turn.text, recipe.masked),
                input=mask_personal_data(turn.input, recipe.masked),
            )
            for turn in turns
        )
    if recipe.thoughts == "leave-out":
        turns = tuple(_without_thoughts(turn) for turn in turns)
    if recipe.thoughts == "read":
        turns = tuple(replace(turn, thought_trained=False) for turn in turns)
    if recipe.answers == "last":
        *before, last = turns
        turns = (
            *(replace(turn, trained=turn.role != "assistant") for turn in before),
            replace(last, trained=True),
        )
    return example if turns is example.turns else replace(example, turns=turns)


def _without_thoughts(turn: Turn) -> Turn:
    if turn.role != "assistant" or "<think>" not in turn.text:
        return turn
    said = _THOUGHT.sub("", turn.text).strip()
    return replace(turn, text=said) if said else turn
