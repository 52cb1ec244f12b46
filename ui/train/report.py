"""A run as one HTML file that opens without a network: settings, versions, curves, watched answers."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ui.train.views import answer_groups, duration, run_summary

Row = dict[str, Any]
_LOOK = Markup("""
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 24px auto; padding: 0 16px; color: #0f172a; }
table { border-collapse: collapse; margin: 8px 0; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid #cbd5e1; vertical-align: top; }
th { font-weight: 500; color: #475569; }
td { overflow-wrap: anywhere; white-space: pre-wrap; }
.plot { height: 420px; }
h2 { font-size: 18px; margin: 28px 0 4px; }
""")
_DRAW = Markup("""
for (const plot of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(plot.nextElementSibling.textContent);
  Plotly.newPlot(plot, figure.data, figure.layout, { displaylogo: false, responsive: true });
}
""")


def write_report(row: Row, figures: Sequence[Row], answers: Sequence[Row]) -> Markup:
    """Return the report of a run; ``figures`` are Plotly objects, ``answers`` the rows of its watched prompts."""
    summary = run_summary(row)
    facts = {
        "state": f"{summary['state']}. {row['message']}".strip(),
        "dataset": f"SHA-256 {row['content_hash']}",
        "begun, ended": f"{row['started_at'] or '–'}, {row['finished_at'] or '–'} (UTC)",
        "steps": summary["steps"],
        "time": duration(row["elapsed_s"]),
        "parameters trained": f"{row['trained_parameters'] or 0:,} of {row['all_parameters'] or 0:,}",
        "validation loss": f"base {summary['base_loss']}, best {summary['best_loss']} at step {row['best_step'] or '–'}",
        "note": row["note"] or "–",
    }
    plots = Markup("").join(
        Markup('<div class="plot"></div><script type="application/json">{}</script>').format(_inert(figure)) for figure in figures
    )
    asked = Markup("").join(_answers_table(group) for group in answer_groups(answers))
    return Markup(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        "<title>{name}</title><style>{look}</style><script>{plotly}</script></head><body><h1>{name}</h1>{facts}"
        "<h2>Curves</h2>{plots}<h2>Watched prompts</h2>{asked}<h2>Settings</h2>{settings}<h2>Libraries</h2>{versions}"
        "<p>Written by Fuata.</p><script>{draw}</script></body></html>"
    ).format(
        name=row["name"],
        look=_LOOK,
        plotly=Markup(get_plotlyjs()),  # noqa: S704 - the library itself
        facts=_table(facts),
        plots=plots,
        asked=asked or "None.",
        settings=_table(json.loads(row["settings"])),
        versions=_table(json.loads(row["versions"])),
        draw=_DRAW,
    )


def _inert(figure: Row) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(figure).replace("<", "\\u003c"))  # noqa: S704 - no < is left in it


def _table(facts: dict[str, Any]) -> Markup:
    lines = Markup("").join(Markup("<tr><th>{}</th><td>{}</td></tr>").format(name, value) for name, value in facts.items())
    return Markup("<table>{}</table>").format(lines)


def _answers_table(group: Row) -> Markup:
    lines = {"expected": group["expected"]}
    lines |= {f"step {answer['step']}" if answer["step"] else "base model": answer["answer"] for answer in group["answers"]}
    return Markup("<h3 dir='auto'>{}</h3>{}").format(group["prompt"], _table(lines))
