"""The engine without a screen: check, preview, train, generate. Heavy libraries load only where a command needs them."""

import argparse
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from core.data.checks import CheckReport, check_dataset
from core.data.dataset import SAMPLES, find_file, load_dataset
from core.data.examples import SPLIT_NAMES, Example
from core.data.splits import split_examples
from core.errors import SettingsError, UserError, WorkspaceError
from core.event_printer import EventPrinter
from core.models.catalogue import find_model, max_context
from core.prompts.encoding import load_encoder
from core.prompts.preview import preview_row
from core.reports import check_object, check_text, preview_object, preview_text
from core.storage.workspace import Workspace
from core.terminal import OneLineParser, common_options, emit, run_command, say, show
from core.training.settings import METHODS, TrainingSettings, as_method, change_settings, default_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_command(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m core", description="Fuata without a screen.")
    commands = parser.add_subparsers(required=True, parser_class=OneLineParser, metavar="COMMAND")
    common = common_options()
    _add_check(commands.add_parser("check", parents=[common], help="report on a file of instructions"))
    _add_preview(commands.add_parser("preview", parents=[common], help="show a row as text and tokens"))
    _add_train(commands.add_parser("train", parents=[common], help="tune a model on a file"))
    _add_generate(commands.add_parser("generate", parents=[common], help="answer prompts with a model"))
    return parser


def _add_file(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    count = "?" if optional else None
    parser.add_argument("file", metavar="FILE", nargs=count, help=f"JSON, JSONL, CSV or TSV, also .gz; or {', '.join(SAMPLES)}")


def _add_model(parser: argparse.ArgumentParser, *, default: str | None = "pocket") -> None:
    parser.add_argument(
        "--model", metavar="M", default=default, required=default is None, help="pocket, a folder, a run's name or a hub id"
    )
    parser.add_argument("--style", metavar="S", default="", help="alpaca, phi3, chatml, llama3, model, or a .jinja file")


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    _add_model(parser)
    parser.set_defaults(command=_check)


def _add_preview(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    _add_model(parser)
    parser.add_argument("--row", type=int, default=1, metavar="N", help="counted from 1")
    parser.set_defaults(command=_preview)


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_file(parser, optional=True)
    _add_model(parser)
    parser.add_argument("--method", choices=METHODS, default=None, help="full, or lora: adapters on frozen weights")
    for name, kind, words in _TRAIN_OPTIONS:
        parser.add_argument(f"--{name}", type=kind, default=None, metavar="X" if kind is float else "N", help=words)
    parser.add_argument("--train-on-prompt", action="store_true", help="let the loss see prompts as well as answers")
    parser.add_argument("--name", default="", help="the run's name")
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run --name")
    parser.set_defaults(command=_train)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser, default=None)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--data", metavar="FILE", help="answer the rows of a file")
    asked.add_argument("--prompt", metavar="TEXT", help="answer one instruction")
    parser.add_argument("--split", choices=SPLIT_NAMES, default=None, help="only these rows of the file")
    parser.add_argument("--system", default="", metavar="TEXT", help="a system prompt")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="X", help="0 takes the likeliest token")
    parser.add_argument("--top-k", type=int, default=0, metavar="N", help="draw from the N likeliest tokens")
    parser.add_argument(
        "--top-p", type=float, default=1.0, metavar="X", help="draw from the likeliest tokens up to this probability"
    )
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="longest answer")
    parser.add_argument("--seed", type=int, default=42, metavar="N")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write JSON lines here instead of stdout")
    parser.set_defaults(command=_generate)


_TRAIN_OPTIONS: tuple[tuple[str, type, str], ...] = (
    ("epochs", int, "passes over the training rows"),
    ("batch-size", int, "rows in one forward pass"),
    ("gradient-accumulation", int, "forward passes per step"),
    ("learning-rate", float, "at its peak"),
    ("warmup-share", float, "of all steps"),
    ("weight-decay", float, "AdamW's"),
    ("max-gradient-norm", float, "0 does not clip"),
    ("max-tokens", int, "cut rows to this length; 0: the model's context"),
    ("evaluations-per-epoch", int, "on the whole validation split"),
    ("patience", int, "stop after N evaluations without gain; 0 never"),
    ("watched-prompts", int, "validation prompts answered at each evaluation"),
    ("checkpoint-every-s", float, "least seconds between two saved states"),
    ("lora-rank", int, "rank of the adapters"),
    ("lora-alpha", float, "scale of the adapters"),
    ("lora-dropout", float, "0 to 0.9"),
    ("seed", int, "of batches and dropout"),
    ("test-share", float, "of all rows, kept for Review"),
    ("validation-share", float, "of all rows"),
    ("split-seed", int, "of the split"),
)


def _check(chosen: argparse.Namespace) -> int:
    dataset = load_dataset(find_file(chosen.file))
    workspace = Workspace(chosen.workspace)
    source = find_model(chosen.model, workspace.find_run_model)
    encoder = load_encoder(source.folder, chosen.style)
    report: CheckReport = check_dataset(dataset, encoder.measure, max_context(source.base_folder or source.folder))
    show(check_object(report), check_text(report), as_json=chosen.json)
    return 0


def _preview(chosen: argparse.Namespace) -> int:
    dataset = load_dataset(find_file(chosen.file))
    workspace = Workspace(chosen.workspace)
    source = find_model(chosen.model, workspace.find_run_model)
    encoder = load_encoder(source.folder, chosen.style)
    preview = preview_row(dataset.example(chosen.row), encoder, max_context(source.base_folder or source.folder))
    show(preview_object(preview), preview_text(preview), as_json=chosen.json)
    return 0


def _train(chosen: argparse.Namespace) -> int:
    from core.training.run import add_run, check_resumable, execute

    workspace = Workspace(chosen.workspace)
    if chosen.resume:
        name = _named(chosen)
        check_resumable(workspace, name)
    else:
        if chosen.file is None:
            raise SettingsError({"file": "give a FILE to train on, or --resume with --name"})
        name = add_run(workspace, load_dataset(find_file(chosen.file)), _settings(chosen), chosen.name)
    failures: list[str] = []
    execute(workspace, name, _stop_on_signal().is_set, [EventPrinter(failures, as_json=chosen.json)])
    if failures:
        raise WorkspaceError(failures[0])
    return 0


def _named(chosen: argparse.Namespace) -> str:
    if not chosen.name:
        raise SettingsError({"name": "--resume needs --name, the run to go on with"})
    return str(chosen.name)


def _settings(chosen: argparse.Namespace) -> TrainingSettings:
    defaults = default_settings(chosen.model, as_method(chosen.method) if chosen.method else None)
    changes = {name.replace("-", "_"): getattr(chosen, name.replace("-", "_")) for name, _, _ in _TRAIN_OPTIONS}
    return change_settings(
        defaults, {**changes, "style": chosen.style or None, "mask_prompt": False if chosen.train_on_prompt else None}
    )


def _stop_on_signal() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set, so that the run stops and keeps what it has."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        say("Stopping after this step and keeping the best model …")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def _generate(chosen: argparse.Namespace) -> int:
    from core.generation.answering import answer_prompt, answer_rows
    from core.generation.sampling import Sampling
    from core.generation.shelf import ModelShelf

    workspace = Workspace(chosen.workspace)
    sampling = Sampling(chosen.temperature, chosen.top_k, chosen.top_p, chosen.max_new_tokens, chosen.seed)
    rows = _chosen_rows(chosen) if chosen.data else []
    speaker = ModelShelf(workspace.find_run_model).get(chosen.model, chosen.style)
    answers = (
        answer_rows(speaker, rows, sampling) if chosen.data else answer_prompt(speaker, chosen.prompt, chosen.system, sampling)
    )
    lines = (answer for answer in answers)
    if chosen.out is None:
        for line in lines:
            emit(line) if chosen.json or chosen.data else print(line["response"])
        return 0
    return _write_lines(chosen, list(lines))


def _write_lines(chosen: argparse.Namespace, lines: list[dict[str, object]]) -> int:
    import json

    from core.storage.folders import write_file

    try:
        write_file(chosen.out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
    except OSError as error:
        raise UserError(f"{chosen.out} cannot be written: {error.strerror}.") from error
    show({"out": str(chosen.out), "rows": len(lines)}, f"{len(lines)} responses written to {chosen.out}", as_json=chosen.json)
    return 0


def _chosen_rows(chosen: argparse.Namespace) -> Sequence[Example]:
    """Return the rows to answer; a run's own split decides what its test rows are."""
    from core.storage.runs import find_split_settings

    dataset = load_dataset(find_file(chosen.data))
    if chosen.split is None:
        return dataset.examples
    settings = find_split_settings(Workspace(chosen.workspace), dataset.content_hash, [chosen.model])
    return split_examples(dataset.examples, settings).named(chosen.split)
