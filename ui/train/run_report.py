"""A run as one HTML file that opens without a network: settings, versions, curves, watched answers."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from core.training.runs.rows import AnswerRow, RunRow
from ui.markup import fill_template
from ui.svg_chart import svg_chart
from ui.train.run_table import Shown, answer_groups, duration, run_summary


def write_report(
    row: RunRow, figures: Sequence[dict[str, Any]], answers: Sequence[AnswerRow]
) -> Markup:
    """Return the report of a run; ``figures`` are Plotly objects, ``answers`` the rows of its
    watched prompts.
    """
    summary = run_summary(row)
    facts = {
        "state": f"{summary['state']}. {row['message']}".strip(),
        "dataset": f"{row['dataset']}, SHA-256 {row['content_hash']}",
        "begun, ended": f"{_to_the_second(row['started_at'])}, "
        f"{_to_the_second(row['finished_at'])} (UTC)",
        "steps": summary["steps"],
        "time": duration(row["elapsed_s"]),
        "parameters trained": f"{row['trained_parameters'] or 0:,} of "
        f"{row['all_parameters'] or 0:,}",
        "validation loss": f"base {summary['base_loss']}, best {summary['best_loss']} at step "
        f"{row['best_step'] or '–'}",
        "note": row["note"] or "–",
    }
    return fill_template(
        "run_report",
        title=row["name"],
        run=facts,
        charts=[svg_chart(figure) for figure in figures],
        watched=[(group["prompt"], _answers(group)) for group in answer_groups(answers)],
        settings=json.loads(row["settings"]),
        libraries=json.loads(row["versions"]),
    )


def _to_the_second(moment: str | None) -> str:
    """Return a moment of ISO 8601 as a user reads it."""
    return moment[:19].replace("T", " ") if moment else "–"


def _answers(group: Shown) -> dict[str, str]:
    asked = {
        f"step {answer['step']}" if answer["step"] else "base model": answer["answer"]
        for answer in group["answers"]
    }
    return {"expected": group["expected"], **asked}
