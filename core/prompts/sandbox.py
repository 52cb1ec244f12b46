"""Chat templates filled by Jinja in its sandbox, in the dialect of transformers.

Knows no time limit: see template_process.py.
"""

import json
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Generation(Extension):
    """The tag ``{% generation %}``, by which templates mark what an assistant says; here the text
    alone counts.
    """

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return what stands between the tag and its end."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def fill(template: str, values: Mapping[str, Any], day: str) -> str:
    """Return a template filled with values; ``day`` (ISO) is what it is told of the date.

    Raises whatever the template raises.
    """
    return compile_template(template).render(
        strftime_now=date.fromisoformat(day).strftime, **values
    )


@lru_cache(maxsize=32)
def compile_template(text: str) -> Template:
    """Return a template ready to be filled. Raises TemplateError when it is no valid Jinja."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.globals["raise_exception"] = _raise
    environment.filters["tojson"] = _as_json  # Jinja's own escapes for HTML
    return environment.from_string(text)


def _as_json(value: object, indent: int | None = None, **options: Any) -> str:
    """Return JSON as transformers has templates write it."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
