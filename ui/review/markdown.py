"""A response's Markdown as markup that can do nothing: no raw HTML, no link, no picture."""

from functools import cache

from markdown_it import MarkdownIt

_LONGEST = 50_000  # characters; what is longer stays text


def render(text: str) -> str:
    """Return the markup of a response, '' where it is too long."""
    return _renderer().render(text) if len(text) <= _LONGEST else ""


@cache
def _renderer() -> MarkdownIt:
    return (
        MarkdownIt("commonmark", {"html": False})
        .enable(["table", "strikethrough"])
        .disable(["image", "link", "autolink"])
    )
