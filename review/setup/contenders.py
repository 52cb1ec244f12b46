"""From a user's word to something whose responses can be judged. Loads no model."""

import json
from collections.abc import Sequence
from typing import Any

from core.datasets.conversation import Example
from core.datasets.samples import find_file
from core.errors import ReviewError
from core.generation.openai_endpoint import find_endpoint
from core.models.resolve import find_model, read_facts, weights_fingerprint
from core.storage.workspace import Workspace
from core.training.runs.store import RunStore
from review.domain.contender import EXPECTED, Entrant
from review.setup.response_files import read_responses

FILE_PREFIX = "file:"


def find_entrants(
    workspace: Workspace, words: Sequence[str], examples: Sequence[Example]
) -> list[Entrant]:
    """Return the contenders that ``words`` name: a model or run, ``expected``, ``file:PATH`` or
    ``http://…#MODEL``.

    Raises UserError for what cannot be found or has nothing to say to these examples.
    """
    return [_find(workspace, word.strip(), examples) for word in words]


def model_facts(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return what is kept of a model: where it lies, how it was made, and a fingerprint of its
    weights.
    """
    source = find_model(name, workspace)
    known = {"folder": str(source.folder), "kind": source.kind, **read_facts(source.folder)}
    run = _run_facts(workspace, name) if source.kind == "run" else {}
    return {**known, **run, "weights": weights_fingerprint(source)}


def _run_facts(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return how a run was trained, which is to be known even when it is renamed or deleted."""
    row = RunStore(workspace).find(name.partition("@")[0])
    return {
        "run_id": row["id"],
        "run_settings": json.loads(row["settings"]),
        "run_versions": json.loads(row["versions"]),
        "run_content_hash": row["content_hash"],
    }


def _find(workspace: Workspace, word: str, examples: Sequence[Example]) -> Entrant:
    if word == EXPECTED:
        if not any(example.answer for example in examples):
            raise ReviewError("These prompts have no expected answers: leave 'expected' out.")
        return Entrant(EXPECTED, EXPECTED)
    if word.startswith(FILE_PREFIX):
        return _imported(word.removeprefix(FILE_PREFIX), examples)
    if word.startswith(("http://", "https://")):
        endpoint = find_endpoint(word)
        return Entrant(endpoint.name, "endpoint", endpoint.facts())
    return Entrant(word, "model", model_facts(workspace, word))


def _imported(path: str, examples: Sequence[Example]) -> Entrant:
    imported = read_responses(find_file(path))
    found = {
        example.row: text for example in examples if (text := imported.find(example)) is not None
    }
    if not found:
        raise ReviewError(
            f"{path} answers none of these {len(examples):,} prompts: choose the rows that it "
            "answers."
        )
    return Entrant(
        imported.name, "file", {"file": path, "content_hash": imported.content_hash}, found
    )
