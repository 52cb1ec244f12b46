"""A bar for work that takes long, with a button that stops it."""

from pathlib import Path
from typing import Any

import gradio as gr

from core.progress import ongoing
from ui.error_messages import answers_errors, whole_number
from ui.gradio_events import static_files


def lay_out_progress(elem_id: str) -> None:
    """Lay out what is shown while something takes long, and nothing else."""
    gr.HTML(
        **static_files(Path(__file__).parent, "bar"),
        server_functions=[read_progress, stop_work],
        apply_default_css=False,
        elem_id=elem_id,
    )


@answers_errors
def read_progress(_: dict[str, Any]) -> dict[str, Any]:
    """Return the work that has taken long so far, the oldest first."""
    return {
        "work": [
            {"number": one.number, "title": one.title, "share": one.share, "left_s": one.left_s}
            for one in ongoing()
            if one.is_long
        ]
    }


@answers_errors
def stop_work(question: dict[str, Any]) -> dict[str, Any]:
    """Let a piece of work end at its next step."""
    number = whole_number(question, "number")
    for one in ongoing():
        if one.number == number:
            one.stop()
    return {}
