"""Changing rows: what is left out, masked or edited makes another version of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.datasets.check import CheckReport
from core.datasets.choices import ANSWERS, DATASET_FORMATS, PERSONAL_KINDS, THOUGHTS
from core.datasets.conversation import SPLIT_NAMES
from core.datasets.export import ENDINGS, export_refused, export_rows
from core.datasets.recipe import Recipe, RowEdit
from core.errors import DataError, UserError, WorkspaceError
from core.storage.atomic_write import write_file
from ui.data.views import changes_markup, size_words
from ui.error_messages import shows_user_errors
from ui.gradio_events import FOLLOWING, QUIET, follow
from ui.services import Services

_REFUSED = "refused rows"
_TITLES = {"by_hand": "Left out by hand"}
_ANSWER_TITLES = {"all": "every answer", "last": "only the last of a conversation"}
_THOUGHT_TITLES = {"keep": "learnt", "read": "read, not learnt", "leave-out": "left out"}


@dataclass(frozen=True)
class ChangeParts:
    """The components that rows are changed with."""

    left_out: gr.CheckboxGroup
    masked: gr.CheckboxGroup
    answers: gr.Radio
    thoughts: gr.Radio
    make: gr.Button
    changes: gr.HTML
    name: gr.Textbox
    rename: gr.Button
    delete: gr.Button
    form: gr.Dropdown
    export: gr.Button
    file: gr.File
    prompt: gr.Textbox
    answer: gr.Textbox
    split: gr.Dropdown
    save: gr.Button
    leave: gr.Button
    add: gr.Button


def lay_out_cleaning() -> dict[str, Any]:
    """Lay out what is done to many rows at once."""
    with gr.Accordion("Clean it", open=False, elem_id="cleaning"):
        left_out = gr.CheckboxGroup([], label="Leave out rows with", elem_id="left-out")
        with gr.Row():
            masked = gr.CheckboxGroup(
                list(PERSONAL_KINDS), label="Mask personal data", elem_id="masked"
            )
            answers = gr.Radio(
                [(_ANSWER_TITLES[one], one) for one in ANSWERS], value="all", label="Learn",
                elem_id="learnt-answers",
            )  # fmt: skip
            thoughts = gr.Radio(
                [(_THOUGHT_TITLES[one], one) for one in THOUGHTS], value="keep",
                label="Thoughts in <think>", elem_id="thoughts",
            )  # fmt: skip
        make = gr.Button(
            "Make this version", variant="primary", scale=0, min_width=170, elem_id="make-version"
        )
    with gr.Accordion("This version", open=False, elem_id="version"):
        changes = gr.HTML(elem_id="changes")
        with gr.Row(elem_classes="fuata-line"):
            name = gr.Textbox(label="Name", elem_id="dataset-name", scale=3)
            rename = gr.Button("Rename", scale=0, min_width=110, elem_id="rename-dataset")
            delete = gr.Button("Delete", variant="stop", scale=0, min_width=110,
                               elem_id="delete-dataset")  # fmt: skip
        with gr.Row(elem_classes="fuata-line"):
            form = gr.Dropdown(
                [*DATASET_FORMATS, _REFUSED], value="messages", label="Download as",
                elem_id="dataset-form", scale=3,
            )  # fmt: skip
            export = gr.Button("Write the file", scale=0, min_width=150, elem_id="write-dataset")
        file = gr.File(label="Download", visible=False, elem_id="dataset-file")
    return {
        "left_out": left_out, "masked": masked, "answers": answers, "thoughts": thoughts,
        "make": make, "changes": changes, "name": name, "rename": rename, "delete": delete,
        "form": form, "export": export, "file": file,
    }  # fmt: skip


def lay_out_editing() -> dict[str, Any]:
    """Lay out what is done to one row."""
    with gr.Accordion("Mend this row, or add one", open=False, elem_id="editing"):
        with gr.Row():
            prompt = gr.Textbox(label="Instruction", lines=4, max_lines=16, elem_id="edit-prompt")
            answer = gr.Textbox(label="Answer", lines=4, max_lines=16, elem_id="edit-answer")
        with gr.Row(elem_classes="fuata-line"):
            split = gr.Dropdown(
                [("as it is", ""), *((name, name) for name in SPLIT_NAMES)], value="",
                label="Split", elem_id="edit-split",
            )  # fmt: skip
            save = gr.Button("Save the row", variant="primary", min_width=120, elem_id="save-row")
            leave = gr.Button("Leave it out", min_width=120, elem_id="leave-row")
            add = gr.Button("Add as a new row", min_width=140, elem_id="add-row")
    return {
        "prompt": prompt, "answer": answer, "split": split, "save": save, "leave": leave, "add": add
    }  # fmt: skip


def wire_changing(
    parts: ChangeParts,
    dataset: gr.Dropdown,
    model: gr.Dropdown,
    row: gr.Number,
    handlers: "ChangeHandlers",
    opened: Any,
) -> None:
    """Let every change make a version, which is chosen then."""
    options = [parts.left_out, parts.masked, parts.answers, parts.thoughts]
    chosen = [dataset.change, model.change]
    shown = [*options, parts.changes, parts.name, parts.file]
    follow(opened, chosen, handlers.show_version, [dataset, model], shown,
           api_name="show_version", **FOLLOWING)  # fmt: skip
    parts.make.click(handlers.make_version, [dataset, model, *options], dataset,
                     api_name="make_version", **QUIET)  # fmt: skip
    edited = [parts.prompt, parts.answer, parts.split]
    follow(opened, [dataset.change, row.change], handlers.show_row, [dataset, row], edited,
           api_name="show_row", **FOLLOWING)  # fmt: skip
    parts.save.click(handlers.save_row, [dataset, row, *edited], dataset,
                     api_name="save_row", **QUIET)  # fmt: skip
    parts.leave.click(handlers.leave_row, [dataset, row], dataset, api_name="leave_row", **QUIET)
    parts.add.click(handlers.add_row, [dataset, *edited], [dataset, row], api_name="add_row",
                    **QUIET)  # fmt: skip
    parts.rename.click(handlers.rename, [dataset, parts.name], dataset, api_name="rename_dataset",
                       **QUIET)  # fmt: skip
    sure = "(...given) => confirm('Delete this dataset?') ? given : [null]"
    parts.delete.click(handlers.delete, dataset, dataset, js=sure, api_name="delete_dataset",
                       **QUIET)  # fmt: skip
    parts.export.click(handlers.write, [dataset, parts.form], parts.file,
                       api_name="write_dataset", **QUIET)  # fmt: skip


class ChangeHandlers:
    """What the events do; ``report`` gives the check report of a dataset under a model."""

    def __init__(self, services: Services, report: Any) -> None:
        """Work on the datasets of ``services``."""
        self.services, self.report = services, report

    def show_version(self, key: str | None, model: str) -> tuple[Any, ...]:
        """Show what a version is made of, and what else can be done to it; what is wrong with the
        choice, the report has told already.
        """
        nothing: tuple[Any, ...] = (
            gr.CheckboxGroup([], value=[], visible=False),
            [],
            "all",
            "keep",
            "",
            "",
            None,
        )
        if not key:
            return nothing
        store = self.services.datasets
        recipe = store.recipe(key)
        try:
            choices = _choices(self.report(key, model), recipe)
        except UserError:
            return nothing
        return (
            gr.CheckboxGroup(choices, value=list(recipe.left_out), visible=bool(choices)),
            list(recipe.masked),
            recipe.answers,
            recipe.thoughts,
            changes_markup(store.load(key), self._before(key), size_words(store.size_bytes(key))),
            store.load(key).name,
            gr.File(value=None, visible=False),
        )  # fmt: skip

    def _before(self, key: str) -> Any:
        """Return the version that one was made from, None for a file as it is."""
        parent = self.services.datasets.parent(key)
        return self.services.datasets.load(parent) if parent else None

    @shows_user_errors
    def make_version(
        self,
        key: str | None,
        model: str,
        kinds: Sequence[str],
        masked: Sequence[str],
        answers: str,
        thoughts: str,
    ) -> Any:
        """Keep the version that the choices make."""
        recipe = self._recipe(key)
        found = {one.kind: one.numbers for one in self.report(key, model).findings if one.can_drop}
        for kind in {*recipe.left_out, *kinds}:
            rows = sorted({*recipe.left_out.get(kind, ()), *found.get(kind, ())})
            recipe = recipe.leaving_out(kind, rows if kind in kinds else ())
        recipe = replace(
            recipe,
            masked=tuple(one for one in PERSONAL_KINDS if one in masked),
            answers=next((one for one in ANSWERS if one == answers), "all"),
            thoughts=next((one for one in THOUGHTS if one == thoughts), "keep"),
        )
        return self._changed(key, recipe)

    @shows_user_errors
    def show_row(self, key: str | None, number: float) -> tuple[str, str, str]:
        """Show a row to be mended; one that is refused shows as an empty one."""
        if not key:
            return "", "", ""
        rows = {one.row: one for one in self.services.datasets.load(key).examples}
        example = rows.get(int(number or 0))
        if example is None:
            return "", "", ""
        asked = "" if example.is_text else example.prompt[-1].text
        return asked, example.answer, example.split or ""

    @shows_user_errors
    def save_row(self, key: str | None, number: float, prompt: str, answer: str, split: str) -> Any:
        """Keep a version in which a row is as it was typed."""
        row = int(number or 0)
        loaded = self.services.datasets.load(key)
        if not 1 <= row <= loaded.row_count:
            raise DataError(f"{loaded.name} has rows 1 to {loaded.row_count}, not {row}.")
        now = self.show_row(key, row)
        edit = RowEdit(
            row=row,
            prompt=prompt if prompt != now[0] else None,
            answer=answer if answer != now[1] else None,
            split=_split(split) if split != now[2] else None,
        )
        drafted = any(one.row == row and one.drafted for one in loaded.examples)
        if edit == RowEdit(row=row) and not drafted:
            raise DataError(f"Row {row} is as it was: change it first.")
        recipe = self._recipe(key)
        recipe = replace(recipe, left_out=_with_row(recipe, row))
        return self._changed(key, recipe.edited(edit))

    @shows_user_errors
    def leave_row(self, key: str | None, number: float) -> Any:
        """Keep a version without a row."""
        recipe, row = self._recipe(key), int(number or 0)
        self.services.datasets.load(key).example(row)
        rows = {*recipe.left_out.get("by_hand", ()), row}
        return self._changed(key, recipe.leaving_out("by_hand", sorted(rows)))

    @shows_user_errors
    def add_row(self, key: str | None, prompt: str, answer: str, split: str) -> tuple[Any, int]:
        """Keep a version with one more row, and show that."""
        recipe = self._recipe(key)
        row = self.services.datasets.load(key).row_count + 1
        edit = RowEdit(row=row, prompt=prompt, answer=answer, split=_split(split))
        return self._changed(key, recipe.edited(edit)), row

    @shows_user_errors
    def rename(self, key: str | None, name: str) -> Any:
        """Call a version otherwise."""
        self._recipe(key)
        self.services.datasets.rename(str(key), name)
        return gr.Dropdown(self.services.dataset_choices(), value=key)

    @shows_user_errors
    def delete(self, key: str | None) -> Any:
        """Remove a version that nothing stands on, and choose the one used before it."""
        if not key:  # it was not confirmed
            return gr.skip()
        self.services.datasets.delete(key)
        choices = self.services.dataset_choices()
        return gr.Dropdown(choices, value=choices[0][1] if choices else None)

    @shows_user_errors
    def write(self, key: str | None, form: str) -> Any:
        """Write a version's rows, or those that are refused, as a file to download."""
        self._recipe(key)
        loaded = self.services.datasets.load(key)
        known = next((one for one in DATASET_FORMATS if one == form), None)
        ending = ENDINGS[known] if known else ".jsonl"
        content = export_rows(loaded, known) if known else export_refused(loaded)
        stem = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in loaded.name)[:80]
        path = self.services.workspace.exports / f"{stem} {known or 'refused'}{ending}"
        write_file(path, content)
        return gr.File(value=str(path), visible=True)

    def _recipe(self, key: str | None) -> Recipe:
        if not key:
            raise WorkspaceError("Choose a dataset first.")
        return self.services.datasets.recipe(key)

    def _changed(self, key: str | None, recipe: Recipe) -> Any:
        made = self.services.datasets.change(str(key), recipe)
        return gr.Dropdown(self.services.dataset_choices(), value=made)


def _split(word: str) -> Any:
    return word if word in SPLIT_NAMES else None


def _with_row(recipe: Recipe, row: int) -> dict[str, Sequence[int]]:
    """Return what is left out, but for a row that is mended now."""
    kept = {kind: tuple(n for n in rows if n != row) for kind, rows in recipe.left_out.items()}
    return {kind: rows for kind, rows in kept.items() if rows}


def _choices(report: CheckReport, recipe: Recipe) -> list[tuple[str, str]]:
    """Return the kinds that were found or are left out, each with its number of rows."""
    found = {one.kind: one for one in report.findings if one.can_drop}
    choices = []
    for kind in dict.fromkeys([*recipe.left_out, *found]):
        finding = found.get(kind)
        title = finding.title if finding else _TITLES.get(kind, kind.replace("_", " "))
        rows = {*recipe.left_out.get(kind, ()), *(finding.numbers if finding else ())}
        choices.append((f"{title} ({len(rows):,})", kind))
    return choices
