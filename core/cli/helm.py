"""The command that runs HELM."""

import argparse
import signal
from types import FrameType
from typing import NoReturn

from core.cli.evaluate import print_results
from core.cli.output import say
from core.evaluation.exchange import import_results
from core.evaluation.helm.run_helm import HelmEnvironment, run_helm
from core.evaluation.store import EvaluationStore
from core.generation.openai_endpoint import find_endpoint
from core.storage.workspace import Workspace


def helm(chosen: argparse.Namespace) -> int:
    """Ask a model HELM's own scenarios by HELM itself, and bring the result in."""
    endpoint = find_endpoint(chosen.model)
    workspace = Workspace(chosen.workspace)
    environment = HelmEnvironment(
        chosen.environment or workspace.folder.resolve() / "helm-environment"
    )
    store = EvaluationStore(workspace)
    store.check_free(chosen.name)  # before HELM has run for hours
    if chosen.install:
        environment.install(say)
    # what is raised takes HELM along, and the file with the key
    signal.signal(signal.SIGTERM, _end)
    folder = run_helm(workspace, environment, endpoint, chosen.entries, chosen.limit, chosen.data)
    return print_results(store, import_results(store, folder, chosen.name), as_json=chosen.json)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
