"""What the command line's commands do. Heavy libraries load only where one needs them."""

import argparse
import json
import signal
import threading
from collections.abc import Sequence
from dataclasses import fields
from types import FrameType
from typing import TYPE_CHECKING

from core.cli.check_output import check_object, check_text, preview_object, preview_text
from core.cli.open_dataset import opened_dataset
from core.cli.output import emit, say, show
from core.cli.progress import EventPrinter, print_plan
from core.datasets.conversation import Example
from core.datasets.export import export_refused, export_rows
from core.datasets.samples import find_file, home_path
from core.datasets.splits import split_examples
from core.errors import SettingsError, WorkspaceError
from core.models.encoder import encoder_of, own_style
from core.models.resolve import find_model, max_context
from core.processes.messages import Progress, report
from core.prompts.encoded_dataset import report_on
from core.prompts.encoder import PromptEncoder
from core.prompts.preview import preview_row
from core.storage.atomic_write import check_writable, told_by_path, write_file
from core.storage.workspace import Workspace
from core.training.settings import TrainingSettings, as_method, change_settings, default_settings

if TYPE_CHECKING:
    from core.generation.sampling import Sampling


def check(chosen: argparse.Namespace) -> int:
    """Report on files of instructions, and write their usable rows where that is asked for."""
    with opened_dataset(chosen, chosen.file) as dataset:
        encoder, context = _encoder(chosen)
        found = report_on(dataset, encoder, context)
        if chosen.out is not None:
            with told_by_path(chosen.out):
                write_file(chosen.out, export_rows(dataset, chosen.form))
        if chosen.refused_out is not None:
            with told_by_path(chosen.refused_out):
                write_file(chosen.refused_out, export_refused(dataset))
    show(check_object(found), check_text(found), as_json=chosen.json)
    return 0


def fetch(chosen: argparse.Namespace) -> int:
    """Fetch a dataset of the hub into a folder, and say under which licence it is."""
    from core.datasets.from_hub import HubRequest, fetch_rows, file_name, find_files

    request = HubRequest(
        name=chosen.dataset, config=chosen.config, split=chosen.split,
        revision=chosen.revision, most_rows=chosen.rows,
    )  # fmt: skip
    dataset, files = find_files(request)
    path = chosen.out / file_name(dataset, request)
    with told_by_path(path):
        chosen.out.mkdir(parents=True, exist_ok=True)
        for what, share in fetch_rows(dataset, files, path, request.most_rows):
            say(f"{share:.0%} {what}")
    facts = {"out": str(path), "revision": dataset.revision, "licence": dataset.licence}
    licence = dataset.licence or "none is named on its card"
    told = f"{path} (licence: {licence}; revision {dataset.revision[:12]})"
    show(facts, told, as_json=chosen.json)
    return 0


def draft(chosen: argparse.Namespace) -> int:
    """Let a model answer the rows of a file that have no answer."""
    from core.generation.drafts import draft_answers, find_open_rows, find_respond
    from core.generation.model_cache import ModelCache

    with told_by_path(chosen.out):
        check_writable(chosen.out)  # before the model has answered for an hour
    drafting = find_open_rows(find_file(chosen.file))
    models = ModelCache(Workspace(chosen.workspace))
    respond = find_respond(chosen.model, models)
    done = 0
    with told_by_path(chosen.out):
        for done, total in draft_answers(drafting, respond, _sampling(chosen), chosen.out):
            say(f"{done} of {total}")
    facts = {"out": str(chosen.out), "answered": len(drafting.answered), "drafted": done,
             "unusable": drafting.unusable}  # fmt: skip
    told = f"{done} answers drafted, {len(drafting.answered)} kept, written to {chosen.out}"
    show(facts, told, as_json=chosen.json)
    return 0


def _sampling(chosen: argparse.Namespace) -> "Sampling":
    from core.generation.sampling import Sampling

    return Sampling(
        chosen.temperature, chosen.top_k, chosen.top_p, chosen.max_new_tokens, chosen.seed
    )


def preview(chosen: argparse.Namespace) -> int:
    """Show a row as text and tokens."""
    with opened_dataset(chosen, chosen.file) as dataset:
        encoder, context = _encoder(chosen)
        preview = preview_row(dataset.example(chosen.row), encoder, context)
    show(preview_object(preview), preview_text(preview), as_json=chosen.json)
    return 0


def _encoder(chosen: argparse.Namespace) -> tuple[PromptEncoder, int]:
    """Return what a model reads rows by, and how many tokens it takes."""
    source = find_model(chosen.model, Workspace(chosen.workspace))
    return encoder_of(source, chosen.style), max_context(source.weights_folder)


# settings whose options are never None, or are no plain setting
_WITH_DEFAULT = {"model", "style", "method"}
_ROW_OPTIONS = ("map", "mask", "leave_out", "answers", "thoughts")


def train(chosen: argparse.Namespace) -> int:
    """Tune a model on a file, or go on with a run that was cut off."""
    from core.training.distributed import check_can_communicate, init_process_group, spawn_workers
    from core.training.kernels.memory import keep_freed_memory
    from core.training.runs.runner import execute

    if chosen.processes > 1:
        check_can_communicate()
    keep_freed_memory()
    failures: list[str] = []
    with init_process_group() as met:
        # the first makes the tables, too
        name = met.broadcast_from_rank0(lambda: _run_to_train(chosen, Workspace(chosen.workspace)))
        workspace = Workspace(chosen.workspace)
        others = ["train", "--resume", "--name", name, "--workspace", str(workspace.folder)]
        with spawn_workers(met, chosen.processes, others) as group:
            # what the others begin by asking for
            name = name if group is met else group.broadcast_from_rank0(lambda: name)
            execute(
                workspace,
                name,
                _stop_on_signal().is_set,
                [EventPrinter(failures, as_json=chosen.json)],
                group,
            )
    if failures:
        raise WorkspaceError(failures[0])
    return 0


def _run_to_train(chosen: argparse.Namespace, workspace: Workspace) -> str:
    """Return the name of the run to go on with, or of a new one that is now written down."""
    from core.training.planning.plan import plan_run
    from core.training.runs.lifecycle import check_resumable, extend_run
    from core.training.runs.runner import add_planned_run

    if chosen.resume:
        name = _named(chosen)
        given = [
            field
            for field in ("file", "method", *_ROW_OPTIONS, *_settings_in(chosen))
            if getattr(chosen, field) not in (None, [])
        ]
        if refused := [field for field in given if field != "epochs"]:
            reason = "goes with a new run; --resume goes on with the data and settings of its run"
            raise SettingsError(dict.fromkeys(refused, reason))
        if given:
            extend_run(workspace, name, chosen.epochs)
        check_resumable(workspace, name)
        return name
    if not chosen.file:
        raise SettingsError({"file": "give a FILE to train on, or --resume with --name"})
    with opened_dataset(chosen, chosen.file) as dataset:
        plan = plan_run(dataset, _settings(chosen, workspace), workspace)
        name = add_planned_run(workspace, dataset, plan, chosen.name)
    print_plan(plan, name, as_json=chosen.json)
    return name


def _named(chosen: argparse.Namespace) -> str:
    if not chosen.name:
        raise SettingsError({"name": "--resume needs --name, the run to go on with"})
    return str(chosen.name)


def _settings(chosen: argparse.Namespace, workspace: Workspace) -> TrainingSettings:
    defaults = default_settings(chosen.model, as_method(chosen.method) if chosen.method else None)
    source = find_model(chosen.model, workspace)
    changes = {name: getattr(chosen, name) for name in _settings_in(chosen)}
    style = chosen.style or own_style(source)
    return change_settings(
        defaults,
        {**changes, "style": style, "mask_prompt": False if chosen.train_on_prompt else None},
    )


def _settings_in(chosen: argparse.Namespace) -> list[str]:
    """Return the settings that have an option of their own and are None where it was not given."""
    return [
        field.name
        for field in fields(TrainingSettings)
        if field.name in vars(chosen) and field.name not in _WITH_DEFAULT
    ]


def _stop_on_signal() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set, so that the run stops and keeps what it has."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        say("Stopping after this step and keeping the best model …")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def generate(chosen: argparse.Namespace) -> int:
    """Answer rows of a file, or one prompt."""
    from core.cli.generate import answer_prompt, answer_rows
    from core.generation.model_cache import ModelCache

    if chosen.out is not None:
        with told_by_path(chosen.out):
            check_writable(chosen.out)  # before the model has answered for an hour
    workspace = Workspace(chosen.workspace)
    sampling = _sampling(chosen)
    rows = _chosen_rows(chosen) if chosen.data else []
    chat_model = ModelCache(workspace).get(chosen.model, chosen.style)
    if len(rows) > 1 and (reason := chat_model.reason_for_one_at_a_time):
        say(f"The rows are answered one after the other: {reason}.")
    answers = (
        answer_rows(chat_model, rows, sampling)
        if chosen.data
        else answer_prompt(chat_model, chosen.prompt, chosen.system, sampling)
    )
    if chosen.out is None:
        for line in answers:
            emit(line) if chosen.json or chosen.data else show({}, line["response"], as_json=False)
        return 0
    return _write_lines(chosen, list(answers))


def import_model(chosen: argparse.Namespace) -> int:
    """Read a GGUF file into a folder."""
    from core.models.read_gguf import import_gguf

    def tell(progress: Progress) -> None:
        report(progress)
        say(f"{progress} …")

    if chosen.out.exists():
        raise WorkspaceError(f"{chosen.out} is there already: give a folder that is not.")
    with told_by_path(chosen.out):
        import_gguf(home_path(str(chosen.file)), chosen.out, tell)
    show({"out": str(chosen.out)}, f"The model is in {chosen.out}", as_json=chosen.json)
    return 0


def export(chosen: argparse.Namespace) -> int:
    """Write a model to take away."""
    from core.export.export_model import ExportOptions, export_model

    def tell(progress: Progress) -> None:
        report(progress)
        if progress.done in {0, 1, progress.total} or progress.unit == "layer":
            say(f"{progress} …")

    workspace = Workspace(chosen.workspace)
    options = ExportOptions(chosen.form, chosen.quantization, chosen.saved_type, chosen.style)
    export_model(workspace, chosen.model, options, chosen.out, tell)
    show({"out": str(chosen.out)}, f"The model is in {chosen.out}", as_json=chosen.json)
    return 0


def _json_lines(lines: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _write_lines(chosen: argparse.Namespace, lines: list[dict[str, object]]) -> int:
    with told_by_path(chosen.out):
        write_file(chosen.out, _json_lines(lines))
    show(
        {"out": str(chosen.out), "rows": len(lines)},
        f"{len(lines)} responses written to {chosen.out}",
        as_json=chosen.json,
    )
    return 0


def _chosen_rows(chosen: argparse.Namespace) -> Sequence[Example]:
    """Return the rows to answer; a run's own split decides what its test rows are."""
    from core.training.runs.store import find_split_settings

    with opened_dataset(chosen, [chosen.data]) as dataset:
        pass
    if chosen.split is None:
        return dataset.examples
    settings = find_split_settings(
        Workspace(chosen.workspace), dataset.content_hash, [chosen.model]
    )
    return split_examples(dataset.examples, settings).named(chosen.split)
