"""The real HELM (``crfm-helm``), in an environment of its own, against an OpenAI-compatible address.

It cannot be installed beside TRL, which wants another version of ``datasets``. Here its files are
written (which address serves the model, how that is tokenized, the key), its command is run, and
the folder that it leaves is handed back. Layouts are those of crfm-helm 0.5.16.
"""

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from core.errors import EvaluationError, ModelError
from core.evaluation.layouts.folder import DataFolder
from core.evaluation.layouts.multiple_choice import find_mmlu
from core.generation.openai_endpoint import Endpoint
from core.models.resolve import find_model, max_context
from core.storage.atomic_write import write_file
from core.storage.workspace import Workspace, free_name
from core.text import shortened

PACKAGE = "crfm-helm[openai]==0.5.16"
_MADE_BY = "fuata"
_CHARACTERS = 8000  # of context, where the address's tokenizer is not known: one a token
_LETTERS = "ABCD"
_SPLITS = {"dev": "dev", "validation": "val", "test": "test"}  # ours, and the folders of HELM
_LONGEST_LINE = 300  # of what is told of a failure
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class HelmEnvironment:
    """Where HELM is installed."""

    folder: Path

    @property
    def command(self) -> Path:
        """Its command."""
        return self._scripts / f"helm-run{'.exe' if os.name == 'nt' else ''}"

    @property
    def _scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    def install(self, say: Say) -> None:
        """Make the environment and install HELM into it, from the package index.

        Raises EvaluationError where that fails.
        """
        say(f"Installing {PACKAGE} into {self.folder}; that takes minutes and about 6 GB …")
        python = self._scripts / f"python{'.exe' if os.name == 'nt' else ''}"
        for command in (
            [sys.executable, "-m", "venv", str(self.folder)],
            [str(python), "-m", "pip", "install", "--quiet", PACKAGE],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
            if done.returncode:
                raise EvaluationError(f"HELM could not be installed: {_last_line(done.stderr)}")

    def check(self) -> None:
        """Raise EvaluationError where HELM is not installed there."""
        if not self.command.is_file():
            raise EvaluationError(
                f"HELM is not installed in {self.folder}: add --install, or give its environment "
                "with --environment."
            )


def run_helm(
    workspace: Workspace,
    environment: HelmEnvironment,
    endpoint: Endpoint,
    entries: Sequence[str],
    limit: int,
    data: Path | None = None,
) -> Path:
    """Ask a model HELM's run entries ("mmlu:subject=anatomy"), ``limit`` instances of each, and return
    the folder with what HELM wrote.

    MMLU's questions are taken from ``data`` where it has them; other scenarios HELM fetches for
    itself. Raises EvaluationError with HELM's own last words where it fails.
    """
    environment.check()
    home = workspace.folder.resolve() / "helm"
    home.mkdir(exist_ok=True)
    folder = home / free_name("run", (path.name for path in home.iterdir()))
    configs, out = folder / "prod_env", folder / "out"
    name = f"{_MADE_BY}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', endpoint.model)}"
    for file, content in _configs(workspace, endpoint, name).items():
        write_file(configs / file, _yaml(content))
    if data is not None:
        _place_mmlu(DataFolder(data), entries, out / "scenarios" / "mmlu" / "data")
    words = [
        str(environment.command), "--run-entries", *(_with_model(one, name) for one in entries),
        "--suite", "fuata", "-m", str(limit), "--local-path", str(configs), "-o", str(out),
        "--disable-cache",
    ]  # fmt: skip
    credentials = configs / "credentials.conf"
    credentials.touch(mode=0o600)
    credentials.write_text(f'deployments: {{ "{name}": "{endpoint.key or "none"}" }}\n')
    log = folder / "helm.log"
    try:
        with log.open("wb") as output:
            done = subprocess.run(words, stdout=output, stderr=output, check=False)  # noqa: S603 - an environment that its user names
    finally:
        credentials.unlink()  # a key is kept nowhere
    if done.returncode:
        said = _last_line(log.read_text(encoding="utf-8", errors="replace"))
        raise EvaluationError(f"HELM ended with an error: {said} Its output is in {log}.")
    return out / "runs"


def _configs(workspace: Workspace, endpoint: Endpoint, name: str) -> dict[str, Any]:
    """Return HELM's three files of what there is."""
    spec, tokens = _tokenizer(workspace, endpoint.model)
    deployment = {
        "name": name, "model_name": name, "tokenizer_name": f"{name}-tokenizer",
        "max_sequence_length": tokens,
        "client_spec": {
            "class_name": "helm.clients.openai_client.OpenAILegacyCompletionsClient",
            "args": {"base_url": endpoint.address, "openai_model_name": endpoint.model},
        },
    }  # fmt: skip
    model = {
        "name": name, "display_name": endpoint.model, "description": endpoint.name,
        "creator_organization_name": _MADE_BY, "access": "open", "release_date": date(2026, 1, 1),
        "tags": ["TEXT_MODEL_TAG", "FULL_FUNCTIONALITY_TEXT_MODEL_TAG"],
    }  # fmt: skip
    tokenizer = {
        "name": f"{name}-tokenizer", "tokenizer_spec": spec, "end_of_text_token": "",
        "prefix_token": "",
    }  # fmt: skip
    return {
        "model_deployments.yaml": {"model_deployments": [deployment]},
        "model_metadata.yaml": {"models": [model]},
        "tokenizer_configs.yaml": {"tokenizer_configs": [tokenizer]},
    }


def _tokenizer(workspace: Workspace, model: str) -> tuple[dict[str, Any], int]:
    """Return how HELM counts tokens, and how many fit: a model's own way where it lies here, else by
    characters.
    """
    try:
        source = find_model(model, workspace)
    except ModelError:
        return {"class_name": "helm.tokenizers.simple_tokenizer.SimpleTokenizer"}, _CHARACTERS
    spec = {
        "class_name": "helm.tokenizers.huggingface_tokenizer.HuggingFaceTokenizer",
        "args": {"pretrained_model_name_or_path": str(source.tokenizer_folder.resolve())},
    }
    return spec, max_context(source.weights_folder)


def _with_model(entry: str, name: str) -> str:
    return f"{entry}{',' if ':' in entry else ':'}model={name}"


def _place_mmlu(data: DataFolder, entries: Sequence[str], target: Path) -> None:
    """Write the subjects that entries name as MMLU's authors publish them, where HELM looks first."""
    target.mkdir(parents=True)
    for entry in entries:
        found = re.match(r"mmlu:(?:.*,)?subject=([^,]+)", entry)
        for split, read in (find_mmlu(data, found[1]) if found else {}).items():
            text = io.StringIO()
            writer = csv.writer(text)
            for row in read():
                writer.writerow([row["question"], *row["choices"], _LETTERS[row["answer"]]])
            folder = _SPLITS[split]
            subject = found[1] if found else ""
            write_file(target / folder / f"{subject}_{folder}.csv", text.getvalue().encode())


def _yaml(content: Mapping[str, Any]) -> bytes:
    import yaml

    return str(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)).encode()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = shortened(lines[-1], _LONGEST_LINE) if lines else "it said nothing"
    return told if told.endswith(".") else f"{told}."
