"""Pieces of safe markup that several screens show.

Everything a user or a model wrote is escaped on its way in.
"""

from markupsafe import Markup


def alert(text: str) -> Markup:
    """Return a refusal or warning that stays on the page."""
    return Markup('<p class="fuata-alert" role="alert">{}</p>').format(text)


def exact_text(text: str) -> Markup:
    """Return text letter by letter, in a fixed-width box."""
    return Markup('<pre class="fuata-exact">{}</pre>').format(text)
