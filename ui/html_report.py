"""Pages that are taken away: one HTML file that opens without a network and prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ui.svg_chart import svg_chart

_LOOK = Markup("""
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 24px auto; padding: 0 16px; color: #0f172a; }
table { border-collapse: collapse; margin: 8px 0; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid #cbd5e1; vertical-align: top; }
th { font-weight: 500; color: #475569; }
td { overflow-wrap: anywhere; white-space: pre-wrap; }
figure { margin: 12px 0; break-inside: avoid; overflow-x: auto; }
.chart { width: 100%; min-width: 600px; height: auto; font-family: inherit; }
h2 { font-size: 18px; margin: 28px 0 4px; }
@media print { body { margin: 0; } article { break-inside: avoid; } }
""")


def offline_page(title: str, body: Markup, look: Markup = _LOOK[:0]) -> Markup:
    """Return a whole page; ``look`` is style sheets of its own. No script is in it."""
    return Markup(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>{title}</title>"
        "<style>{base}{look}</style></head><body><h1>{title}</h1>{body}"
        "<p>Written by Fuata.</p></body></html>"
    ).format(title=title, base=_LOOK, look=look, body=body)


def plots(figures: Sequence[Mapping[str, Any]]) -> Markup:
    """Return Plotly figures as pictures."""
    return Markup("").join(Markup("<figure>{}</figure>").format(svg_chart(one)) for one in figures)


def facts_table(facts: Mapping[str, Any]) -> Markup:
    """Return names and values, a line each."""
    lines = Markup("").join(
        Markup("<tr><th>{}</th><td>{}</td></tr>").format(name, value)
        for name, value in facts.items()
    )
    return Markup("<table>{}</table>").format(lines)
