"""What the tables of judging hold, row by row; a test compares them with the tables."""

from typing import Any, TypedDict

Row = dict[str, Any]  # of a query of its own, whose columns stand beside it


class _ReviewColumns(TypedDict):
    id: int
    name: str
    state: str
    message: str
    content_hash: str  # of the dataset's version
    split: str  # train, validation, test or all
    split_settings: str  # JSON
    sampling: str  # JSON
    versions: str  # JSON: libraries
    side_seed: str
    created_at: str
    overlap: int  # verdicts that a pair gets, 0 for as many as there are reviewers
    pair_count: int
    open_count: int
    verdict_count: int
    rubric_name: str
    rubric: str
    repeats: float  # share of pairs that are shown twice
    response_mode: str
    shared: int  # 1 where other reviewers may see it


class ReviewRow(_ReviewColumns, total=False):
    """One review; in a list with two of its counts under the names that a page has for them."""

    pairs: int
    ratings: int
