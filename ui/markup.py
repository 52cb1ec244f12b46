"""Markup, which the templates of ``ui/templates`` make.

Every value is escaped on its way in, unless it is markup itself. A name that a template misses is
an error, never an empty place.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_TEMPLATES.filters |= {
    "thousands": lambda number: f"{number:,.0f}",
    "percent": lambda share: f"{share:.0%}",
    "css_percent": lambda share: f"{100 * share:.2f}%",
}


def fill_template(name: str, /, **values: Any) -> Markup:
    """Return the template ``<name>.html.j2`` filled with values."""
    return Markup(_TEMPLATES.get_template(f"{name}.html.j2").render(values))  # noqa: S704 - escaped


def alert(text: str) -> Markup:
    """Return a refusal or warning that stays on the page."""
    return fill_template("alert", text=text)


def paragraph(text: str) -> Markup:
    """Return a sentence of its own."""
    return fill_template("paragraph", text=text)


def exact_text(text: str) -> Markup:
    """Return text letter by letter, in a fixed-width box."""
    return fill_template("exact_text", text=text)


def visible_lines(text: str) -> list[str]:
    """Return the lines of a token with tabs and what cannot be seen as signs, so that no token is
    invisible; the template shows the ends of lines.
    """
    return ["".join(map(_visible, line)) for line in text.split("\n")]


def _visible(character: str) -> str:
    if character == "\t":
        return "⇥\t"
    if character.isprintable() or character == " ":
        return character
    return f"\\u{ord(character):04x}"
