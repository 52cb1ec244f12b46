"""Pages that are taken away: one HTML file that opens without a network and prints."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

_LOOK = Markup("""
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 24px auto; padding: 0 16px; color: #0f172a; }
table { border-collapse: collapse; margin: 8px 0; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid #cbd5e1; vertical-align: top; }
th { font-weight: 500; color: #475569; }
td { overflow-wrap: anywhere; white-space: pre-wrap; }
.plot { min-height: 160px; break-inside: avoid; }
h2 { font-size: 18px; margin: 28px 0 4px; }
@media print { body { margin: 0; } article { break-inside: avoid; } }
""")
_DRAW = Markup("""
for (const plot of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(plot.nextElementSibling.textContent);
  Plotly.newPlot(plot, figure.data, { height: 420, ...figure.layout }, { displaylogo: false, responsive: true });
}
""")


def offline_page(title: str, body: Markup, look: Markup = _LOOK[:0]) -> Markup:
    """Return a whole page; ``look`` is style sheets of its own."""
    return Markup(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width'>"
        "<title>{title}</title><style>{base}{look}</style><script>{plotly}</script></head><body><h1>{title}</h1>{body}"
        "<p>Written by Fuata.</p><script>{draw}</script></body></html>"
    ).format(
        title=title,
        base=_LOOK,
        look=look,
        plotly=Markup(get_plotlyjs()),  # noqa: S704 - the library itself, or JSON without a <
        body=body,
        draw=_DRAW,
    )


def plots(figures: Sequence[Mapping[str, Any]]) -> Markup:
    """Return Plotly figures, drawn when the page opens."""
    return Markup("").join(
        Markup('<div class="plot"></div><script type="application/json">{}</script>').format(
            _inert(figure)
        )
        for figure in figures
    )


def facts_table(facts: Mapping[str, Any]) -> Markup:
    """Return names and values, a line each."""
    lines = Markup("").join(
        Markup("<tr><th>{}</th><td>{}</td></tr>").format(name, value)
        for name, value in facts.items()
    )
    return Markup("<table>{}</table>").format(lines)


def _inert(figure: Mapping[str, Any]) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(figure).replace("<", "\\u003c"))  # noqa: S704 - the library itself, or JSON without a <
