"""What the Review screen shows of a review, as markup."""

from markupsafe import Markup

from ui.markup import fill_template


def making_markup(name: str, done: int, total: int, message: str) -> Markup:
    """Return how far the responses of a review are."""
    percent = round(100 * done / total) if total else 0
    return fill_template(
        "making", name=name, done=done, total=total, percent=percent, message=message
    )
