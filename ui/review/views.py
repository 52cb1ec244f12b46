"""What the Review screen shows of a review, as safe markup."""

from markupsafe import Markup


def making_markup(name: str, done: int, total: int, message: str) -> Markup:
    """Return how far the responses of a review are."""
    percent = round(100 * done / total) if total else 0
    return Markup(
        '<section class="fuata-making" data-done="{}" data-total="{}"><div class="fuata-track" '
        'role="progressbar" '
        'aria-label="Responses made" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{}"><i '
        'style="width:{}%"></i></div>'
        "<p><b>{}</b>: {} of {} responses. {}</p></section>"
    ).format(done, total, percent, percent, name, f"{done:,}", f"{total:,}", message)
