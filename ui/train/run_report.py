"""A run as one HTML file that opens without a network: settings, versions, curves, watched answers."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ui.html_report import facts_table, offline_page, plots
from ui.train.views import answer_groups, duration, run_summary

Row = dict[str, Any]


def write_report(row: Row, figures: Sequence[Row], answers: Sequence[Row]) -> Markup:
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
    asked = Markup("").join(_answers_table(group) for group in answer_groups(answers))
    body = Markup(
        "{}<h2>Curves</h2>{}<h2>Watched prompts</h2>{}<h2>Settings</h2>{}<h2>Libraries</h2>{}"
    ).format(
        facts_table(facts),
        plots(figures),
        asked or "None.",
        facts_table(json.loads(row["settings"])),
        facts_table(json.loads(row["versions"])),
    )
    return offline_page(row["name"], body)


def _to_the_second(moment: str | None) -> str:
    """Return a moment of ISO 8601 as a user reads it."""
    return moment[:19].replace("T", " ") if moment else "–"


def _answers_table(group: Row) -> Markup:
    lines = {"expected": group["expected"]}
    lines |= {
        f"step {answer['step']}" if answer["step"] else "base model": answer["answer"]
        for answer in group["answers"]
    }
    return Markup("<h3 dir='auto'>{}</h3>{}").format(group["prompt"], facts_table(lines))
