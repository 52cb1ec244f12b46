"""Bringing rows: files that are dropped, rows that are pasted, and columns mapped by hand."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from core.datasets.choices import MEANINGS
from core.datasets.columns import column_names, recognise_columns
from core.datasets.dataset import Dataset, UnknownColumnsError, load_dataset, read_dataset
from core.datasets.from_hub import HubRequest, fetch_rows, file_name, find_files
from core.datasets.readers.archive import pack
from core.datasets.readers.read_file import read_file
from core.datasets.recipe import Recipe, load_version
from core.errors import DataError, UserError
from core.generation.drafts import find_open_rows
from core.text import shortened
from ui.data.views import mapped_rows
from ui.error_messages import shows_user_errors
from ui.gradio_events import FOLLOWING, QUIET, follow
from ui.markup import alert, paragraph
from ui.services import Services, sentence
from ui.uploads import scratch_folder, taken

_TRIED = 200  # rows that a mapping is tried on
_SHOWN = 3  # of them
_LONGEST_PASTE = 5_000_000  # characters
_WAITING = "waiting"  # the folder of files whose columns are not mapped yet


@dataclass(frozen=True)
class BringParts:
    """The components that rows come in by."""

    upload: gr.File
    pasted: gr.Textbox
    paste: gr.Button
    hub: tuple[gr.components.Component, ...]  # id, configuration, split, revision, rows
    fetch: gr.Button
    stop: gr.Button
    fetched: gr.HTML
    problem: gr.HTML
    box: gr.Accordion
    columns: tuple[gr.Dropdown, ...]  # one for each meaning
    tried: gr.HTML
    use: gr.Button
    waiting: gr.State  # path of a file whose columns are to be mapped, '' for none


def lay_out_upload() -> dict[str, Any]:
    """Lay out where files and rows come in."""
    upload = gr.File(
        label="Or drop files: JSON, CSV, Parquet, Excel …",
        file_count="multiple",
        height=150,
        elem_id="upload",
    )
    with gr.Accordion("Or paste rows", open=False, elem_id="paste-box"):
        pasted = gr.Textbox(
            label="Rows", lines=6, max_lines=14, elem_id="pasted",
            placeholder="JSON, JSON lines, or a table from a spreadsheet with its header",
        )  # fmt: skip
        paste = gr.Button("Use these rows", scale=0, min_width=150, elem_id="use-pasted")
    return {"upload": upload, "pasted": pasted, "paste": paste, **_lay_out_hub()}


def _lay_out_hub() -> dict[str, Any]:
    with gr.Accordion("Or fetch from the Hugging Face hub", open=False, elem_id="hub-box"):
        name = gr.Textbox(label="Dataset's id", placeholder="owner/name", elem_id="hub-name")
        with gr.Row():
            config = gr.Textbox(label="Configuration", info="A folder of it", min_width=120)
            split = gr.Textbox(label="Split", info="train, test …", min_width=120)
            revision = gr.Textbox(label="Revision", info="Branch or commit", min_width=120)
            rows = gr.Number(0, label="First rows", info="0: all", precision=0, min_width=120)
        with gr.Row():
            fetch = gr.Button("Fetch", min_width=110, elem_id="fetch-hub")
            stop = gr.Button("Stop", min_width=110, elem_id="stop-hub")
        fetched = gr.HTML(elem_id="hub-fetched")
    hub = (name, config, split, revision, rows)
    return {"hub": hub, "fetch": fetch, "stop": stop, "fetched": fetched}


def lay_out_mapping() -> dict[str, Any]:
    """Lay out the choice of columns."""
    with gr.Accordion("Which column is what", open=False, elem_id="mapping") as box:
        gr.Markdown(
            "Choose a column for what the file has, and leave the rest empty. A template joins "
            "several columns: `{Title}: {Body}`."
        )
        with gr.Row():
            columns = tuple(
                gr.Dropdown(
                    [], value=None, label=title.capitalize(), allow_custom_value=True,
                    min_width=150, elem_id=f"map-{meaning}",
                )
                for meaning, title in MEANINGS.items()
            )  # fmt: skip
        tried = gr.HTML(elem_id="mapping-tried")
        use = gr.Button("Read it so", variant="primary", scale=0, min_width=150, elem_id="use-map")
    return {"box": box, "columns": columns, "tried": tried, "use": use, "waiting": gr.State("")}


def wire_bringing(parts: BringParts, dataset: gr.Dropdown, services: Services, opened: Any) -> None:
    """Take what is dropped and pasted, and map columns."""
    handlers = _Handlers(services)
    brought = [dataset, parts.problem, parts.upload, parts.waiting, parts.box, *parts.columns]
    parts.upload.upload(
        handlers.take_upload, parts.upload, brought, api_name="take_upload", concurrency_limit=None
    )
    pasted = parts.paste.click(
        handlers.take_paste, parts.pasted, brought, api_name="take_paste", **QUIET
    )
    pasted.then(lambda: "", None, parts.pasted, api_visibility="private", **QUIET)
    fetching = parts.fetch.click(
        handlers.fetch, [*parts.hub], [parts.fetched, *brought], api_name="fetch_dataset",
        show_progress="hidden", concurrency_limit=1,
    )  # fmt: skip
    parts.stop.click(
        lambda: paragraph("Stopped; nothing was kept."), None, parts.fetched, cancels=[fetching],
        api_name="stop_fetching", **QUIET,
    )  # fmt: skip
    offered = [*parts.columns, parts.waiting]
    follow(
        opened, [dataset.input], handlers.offer_columns, dataset, offered,
        api_name="offer_columns", **FOLLOWING,
    )  # fmt: skip
    asked = [dataset, parts.waiting, *parts.columns]
    gr.on(
        [column.input for column in parts.columns], handlers.try_mapping, asked, parts.tried,
        api_name="try_mapping", **FOLLOWING,
    )  # fmt: skip
    parts.use.click(
        handlers.use_mapping, asked, [dataset, parts.problem, parts.waiting, parts.box],
        api_name="use_mapping", **QUIET,
    )  # fmt: skip


class _Handlers:
    """What the events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def take_upload(self, paths: Sequence[str] | None) -> tuple[Any, ...]:
        """Keep what was dropped; of a file that is refused nothing is shown but why, and nothing of
        the one before.
        """
        if not paths:
            return (gr.skip(), "", None, "", gr.skip(), *[gr.skip()] * len(MEANINGS))
        try:
            with ExitStack() as stack:
                files = [
                    stack.enter_context(taken(path, self.services.workspace)) for path in paths
                ]
                return self._brought(files)
        except UserError as error:
            return self._refused(error)

    def take_paste(self, text: str | None) -> tuple[Any, ...]:
        """Keep what was pasted as a file of its own."""
        try:
            with self._as_file(text or "") as file:
                return self._brought([file])
        except UserError as error:
            return self._refused(error)

    def fetch(
        self, name: str, config: str, split: str, revision: str, rows: float
    ) -> Iterator[tuple[Any, ...]]:
        """Fetch a dataset of the hub, saying how far that is, and keep it."""
        nothing = [gr.skip()] * (5 + len(MEANINGS))
        try:
            request = HubRequest(
                name=(name or "").strip(), config=(config or "").strip(),
                split=(split or "").strip(), revision=(revision or "").strip(),
                most_rows=int(rows or 0),
            )  # fmt: skip
            yield paragraph("Asking the hub …"), *nothing
            dataset, files = find_files(request)
            licence = dataset.licence or "none is named on its card"
            told = paragraph(f"Fetched. Licence: {licence}. Revision {dataset.revision[:12]}.")
            with scratch_folder(self.services.workspace) as folder:
                file = folder / file_name(dataset, request)
                for what, share in fetch_rows(dataset, files, file, request.most_rows):
                    yield paragraph(f"{share:.0%}: {what}"), *nothing
                yield told, *self._brought([file])
        except UserError as error:
            yield "", *self._refused(error)

    def _brought(self, files: Sequence[Path]) -> tuple[Any, ...]:
        with self._one_file(files) as file:
            try:
                key = self.services.datasets.keep(load_dataset(file))
            except DataError as error:
                maps, prompts = isinstance(error, UnknownColumnsError), _prompts_in(file)
                if not maps and not prompts:
                    raise
                told = sentence(error)
                if prompts:
                    told += f" It holds {prompts:,} prompts: a model can draft the answers."
                return self._waiting(file, told, maps=maps)
        columns = _offered(*self._known(key))
        choices = gr.Dropdown(self.services.dataset_choices(), value=key)
        return (choices, "", None, "", gr.Accordion(open=False), *columns)

    def _waiting(self, file: Path, told: str, *, maps: bool) -> tuple[Any, ...]:
        """Say what a file waits for: that its columns are mapped, or its answers drafted."""
        waiting = self._let_wait(file)
        choices = gr.Dropdown(self.services.dataset_choices(), value=None)
        columns = _offered(_columns_of(waiting), {})
        return choices, alert(told), None, str(waiting), gr.Accordion(open=maps), *columns

    def _refused(self, error: UserError) -> tuple[Any, ...]:
        nothing = _offered((), {})
        choices = gr.Dropdown(self.services.dataset_choices(), value=None)
        return (choices, alert(sentence(error)), None, "", gr.Accordion(open=False), *nothing)

    @contextmanager
    def _one_file(self, files: Sequence[Path]) -> Iterator[Path]:
        """Give several files as one archive, which is gone after the block."""
        if len(files) == 1:
            yield files[0]
            return
        name = f"{shortened(files[0].name, 60)} and {len(files) - 1} more.zip"
        with scratch_folder(self.services.workspace) as folder:
            yield pack(files, folder / name.replace("/", "_"))

    @contextmanager
    def _as_file(self, text: str) -> Iterator[Path]:
        """Give pasted text as a file of the kind that it looks like, which is gone after the block."""
        plain = text.strip("\ufeff\r\n ")
        if not plain.strip():
            raise DataError("Nothing was pasted: paste at least one row.")
        if len(plain) > _LONGEST_PASTE:
            raise DataError(
                f"More than {_LONGEST_PASTE:,} characters were pasted: save them as a file and "
                "drop that."
            )
        first = plain.split("\n", 1)[0]
        is_json = plain.startswith(("[", "{"))
        ending = ".jsonl" if is_json else ".tsv" if "\t" in first else ".csv"
        with scratch_folder(self.services.workspace) as folder:
            file = folder / f"pasted{ending}"
            file.write_text(plain + "\n", encoding="utf-8")
            yield file

    def _let_wait(self, file: Path) -> Path:
        """Keep a file until its columns are mapped, one at a time."""
        folder = self.services.workspace.uploads / _WAITING
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        waiting = folder / file.name
        waiting.write_bytes(file.read_bytes())
        return waiting

    def _known(self, key: str) -> tuple[Sequence[str], dict[str, str]]:
        """Return a kept dataset's columns, and what was said or recognised of them."""
        loaded = self.services.datasets.load(key)
        said = dict(self.services.datasets.recipe(key).mapping)
        return loaded.columns, said or dict(recognise_columns(loaded.columns).fields)

    @shows_user_errors
    def offer_columns(self, key: str | None) -> tuple[Any, ...]:
        """Offer the columns of the chosen dataset; a file that waits is let go."""
        columns = _offered(*self._known(key)) if key else _offered((), {})
        return (*columns, "")

    def try_mapping(self, key: str | None, waiting: str, *said: str | None) -> str:
        """Show the first rows as the mapping reads them, or what is wrong with it."""
        mapping = _mapping(said)
        if not mapping or not (key or waiting):
            return ""
        try:
            path = Path(waiting) if waiting else self.services.datasets.load(key).path
            raw = read_file(path)
            tried = replace(raw, rows=raw.rows[:_TRIED])
            return mapped_rows(read_dataset(tried, path, mapping), _SHOWN)
        except UserError as error:
            return alert(sentence(error))

    @shows_user_errors
    def use_mapping(self, key: str | None, waiting: str, *said: str | None) -> tuple[Any, ...]:
        """Keep the dataset as the mapping reads it: a version of its own."""
        mapping = _mapping(said)
        if not mapping:
            raise DataError("Choose at least the columns of the instruction and of the answer.")
        if waiting:
            made = self.services.datasets.keep(self._read(None, waiting, Recipe(mapping=mapping)))
            shutil.rmtree(Path(waiting).parent, ignore_errors=True)
        elif key:
            recipe = self.services.datasets.recipe(key)
            # what was said of rows by their number still holds; what was found in them may not
            made = self.services.datasets.change(
                key, replace(recipe, mapping=mapping, left_out={}, edits=())
            )
        else:
            raise DataError("Choose a dataset or drop a file first.")
        choices = gr.Dropdown(self.services.dataset_choices(), value=made)
        return choices, "", "", gr.Accordion(open=False)

    def _read(self, key: str | None, waiting: str, recipe: Recipe) -> Dataset:
        if waiting:
            return load_version(Path(waiting), recipe)
        return load_version(self.services.datasets.load(key).path, recipe)


def _prompts_in(path: Path) -> int:
    """Return how many rows of a file could be answered by a model."""
    try:
        return len(find_open_rows(path).asked)
    except DataError:
        return 0


def _columns_of(path: Path) -> list[str]:
    return column_names([row.value for row in read_file(path).rows])


def _offered(columns: Sequence[str], chosen: dict[str, str]) -> list[Any]:
    """Return the menus of columns, each with what is chosen for it."""
    return [gr.Dropdown(list(columns), value=chosen.get(meaning)) for meaning in MEANINGS]


def _mapping(said: Sequence[str | None]) -> dict[str, str]:
    return {
        meaning: str(source)
        for meaning, source in zip(MEANINGS, said, strict=True)
        if source and str(source).strip()
    }
