"""A review of responses that are there already: files of them, and the prompts that they answer."""

import json
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.datasets.dataset import Dataset
from core.datasets.store import DatasetStore
from core.generation.sampling import Sampling
from core.storage.atomic_write import write_file
from core.storage.workspace import Workspace
from review.setup.generate_responses import RowChoice, create_review, plan_review


def create_from_responses(
    workspace: Workspace,
    name: str,
    stem: str,
    prompts: Sequence[Mapping[str, Any]],
    responses: Mapping[Path, Sequence[str]],
    read: Callable[[Path], Dataset],
) -> None:
    """Create a review of ``prompts``, kept as the dataset ``stem`` that ``read`` makes of their file.
    ``responses`` holds, by the file they are written to, each contender's answers in the prompts' order.

    Raises DataError or ReviewError; no file that was not there before is left then.
    """
    made = [file for file in responses if not file.exists()]
    folder = workspace.uploads / secrets.token_hex(8)
    folder.mkdir()
    try:
        file = folder / f"{stem}.jsonl"
        _write(file, prompts)
        for target, texts in responses.items():
            _write(
                target, [{"row": at, "response": text} for at, text in enumerate(texts, start=1)]
            )
        dataset = read(file)
        DatasetStore(workspace).keep(dataset)
        words = [f"file:{target}" for target in responses]
        plan = plan_review(workspace, dataset, name, words, RowChoice(None), Sampling())
        create_review(workspace, dataset, plan)
    except BaseException:
        for target in made:
            target.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the workspace has its own copy


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_file(path, lines.encode())
