"""Rows without an answer get one from a model, marked as drafted till a person has looked at it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.datasets.columns import ColumnMapping, column_names, make_mapping
from core.datasets.conversation import Example, RowRefusedError, Turn
from core.datasets.dataset import Dataset, read_dataset
from core.datasets.export import row_object
from core.datasets.formats import read_category, read_prompt
from core.datasets.readers.raw import RawFile, RawRow
from core.datasets.readers.read_file import read_file, read_lines
from core.datasets.recipe import Recipe, read_recipe, with_options
from core.datasets.splits_named import split_named
from core.errors import DataError, StoppedError
from core.generation.chat_model import Response
from core.generation.model_cache import ModelCache
from core.generation.openai_endpoint import find_endpoint
from core.generation.sampling import Sampling
from core.text import trimmed

Respond = Callable[
    [Sequence[Sequence[Turn]], Sampling, Callable[[], bool]], Iterator[Response]
]  # prompts to responses, one each, in order


@dataclass(frozen=True, slots=True)
class Drafting:
    """A file's rows: those that have an answer, and those that are to get one."""

    answered: tuple[Example, ...]
    asked: tuple[Example, ...]  # the answer is empty
    unusable: int  # rows that can be neither learnt nor asked


def find_respond(word: str, models: ModelCache) -> Respond:
    """Return how a model is asked: a model's name, or ``http://HOST:PORT/v1#MODEL``.

    Raises ModelError.
    """
    return find_endpoint(word).respond_all if "://" in word else models.get(word).respond_all


def find_open_rows(path: Path, dataset: Dataset | None = None) -> Drafting:
    """Return what of a file is to be drafted; ``dataset`` is a version of it, else it is as it is.

    A line of a text is a prompt. Raises DataError where no row is without an answer.
    """
    raw = read_lines(path) if path.suffix.lower() == ".txt" else read_file(path)
    answered = dataset.examples if dataset else _answered(raw, path)
    known = {example.row for example in answered}
    recipe = read_recipe(dataset.recipe) if dataset else Recipe()
    passed_over = known | {row for rows in recipe.left_out.values() for row in rows}
    columns = column_names([row.value for row in raw.rows])
    mapping = make_mapping(recipe.mapping, columns) if recipe.mapping else None
    asked = [
        with_options(example, recipe)  # what is masked is masked before anybody is asked
        for row in raw.rows
        if row.number not in passed_over and (example := _open_row(row, mapping)) is not None
    ]
    if not asked:
        raise DataError(f"{path.name} has no row with a prompt and without an answer.")
    return Drafting(tuple(answered), tuple(asked), len(raw.rows) - len(known) - len(asked))


def _answered(raw: RawFile, path: Path) -> tuple[Example, ...]:
    try:
        return read_dataset(raw, path).examples
    except DataError:  # it holds prompts alone
        return ()


def _open_row(row: RawRow, mapping: ColumnMapping | None) -> Example | None:
    """Return a row with a prompt, None for one without."""
    if row.problem or not isinstance(row.value, Mapping):
        return None
    value = mapping.apply(row.value) if mapping else row.value
    try:
        turns = read_prompt(value)
    except RowRefusedError:
        return None
    said = value.get("split")
    split = split_named(said if isinstance(said, str) and said else row.split or "")
    return Example(row.number, (*turns, Turn("assistant", "")), split, read_category(value))


def draft_answers(
    drafting: Drafting,
    respond: Respond,
    sampling: Sampling,
    path: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, int]]:
    """Write all rows with an answer to ``path`` as JSON lines, in the order of the file, those of
    the model marked; yield how many of how many are drafted.

    Raises StoppedError where it is to stop, and leaves nothing then.
    """
    drafted: list[Example] = []
    total = len(drafting.asked)
    responses = respond([one.prompt for one in drafting.asked], sampling, should_stop)
    for example, response in zip(drafting.asked, responses, strict=False):
        if text := trimmed(response.text):
            turns = (*example.prompt, Turn("assistant", text))
            drafted.append(replace(example, turns=turns, drafted=True))
        yield len(drafted), total
    if should_stop():
        raise StoppedError("The drafting was stopped; nothing was kept")
    rows = sorted((*drafting.answered, *drafted), key=lambda example: example.row)
    if not rows:
        raise DataError("The model answered none of the prompts: try another.")
    lines = [json.dumps(row_object(row), ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
