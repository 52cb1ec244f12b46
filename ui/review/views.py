"""What the Review screen shows of a review, as safe markup."""

from typing import Any

from markupsafe import Markup

Row = dict[str, Any]


def review_choices(reviews: list[Row]) -> list[tuple[str, str]]:
    """Return the reviews to choose from, the latest first."""
    return [(f"{row['name']} · {_words(row)}", row["name"]) for row in reviews]


def making_markup(name: str, done: int, total: int, message: str) -> Markup:
    """Return how far the responses of a review are."""
    percent = round(100 * done / total) if total else 0
    return Markup(
        '<section class="fuata-making" data-done="{}" data-total="{}"><div class="track" role="progressbar" '
        'aria-label="Responses made" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{}"><i style="width:{}%"></i></div>'
        "<p><b>{}</b>: {} of {} responses. {}</p></section>"
    ).format(done, total, percent, percent, name, f"{done:,}", f"{total:,}", message)


def _words(row: Row) -> str:
    if row["state"] == "ready":
        return f"{row['pairs']:,} {'pairs' if row['answers'] == 'pairs' else 'responses'}, {row['ratings']:,} ratings"
    return {"generating": "being answered", "stopped": "stopped", "failed": "failed"}[row["state"]]
