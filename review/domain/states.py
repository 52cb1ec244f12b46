"""The states that a review can be in."""

from enum import StrEnum


class ReviewState(StrEnum):
    """What has become of a review; the values are those of the database."""

    GENERATING = "generating"  # contenders answer
    READY = "ready"  # to be judged
    STOPPED = "stopped"  # by a user, or cut off: it can be continued
    FAILED = "failed"  # its message says why
