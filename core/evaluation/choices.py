"""Which checks of answers there are, for command line and page. Imports nothing heavy."""

from typing import Literal, get_args

Check = Literal[
    "exact", "contains", "f1", "rouge_l", "numeric", "json", "regex", "choice", "python"
]
OWN_CHECKS: tuple[Check, ...] = get_args(Check)
CHECK_TITLES: dict[Check, str] = {
    "exact": "has the same words (not case, punctuation, articles)",
    "contains": "contains the expected answer",
    "f1": "shares words with it (F1)",
    "rouge_l": "shares words in order (ROUGE-L)",
    "numeric": "ends in the same number",
    "json": "is the same JSON",
    "regex": "matches a regular expression",
    "choice": "is the likeliest of all answers",
    "python": "passes a Python function of yours",
}


PROMPTED = " with the prompt"  # behind the name of a model that is asked with the system prompt


def bare_name(model: str) -> str:
    """Return the model that a contender's name stands for, with the prompt or without."""
    return model.removesuffix(PROMPTED)


def is_endpoint(model: str) -> bool:
    """Return whether a model's name is an address."""
    return model.startswith(("http://", "https://"))
