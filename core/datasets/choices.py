"""The words that a user chooses from where rows are read, changed and written. Loads nothing."""

from typing import Literal, get_args

Answers = Literal["all", "last"]
Thoughts = Literal["keep", "read", "leave-out"]
LongRows = Literal["end", "start", "drop"]
DatasetFormat = Literal["messages", "alpaca", "parquet"]
PersonalKind = Literal["email", "phone", "card"]
ANSWERS: tuple[Answers, ...] = get_args(Answers)  # of several turns: which are learnt
THOUGHTS: tuple[Thoughts, ...] = get_args(Thoughts)  # what stands in <think>
LONG_ROWS: tuple[LongRows, ...] = get_args(LongRows)  # of rows too long: what is cut
DATASET_FORMATS: tuple[DatasetFormat, ...] = get_args(DatasetFormat)
PERSONAL_KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)

# what a column can be said to hold, and how a screen calls it; a column that is not named is not
# read
MEANINGS: dict[str, str] = {
    "instruction": "instruction",
    "input": "input",
    "output": "answer",
    "system": "system prompt",
    "category": "category",
    "split": "split",
    "chosen": "chosen answer",
    "rejected": "rejected answer",
    "label": "label (good or bad)",
    "messages": "conversation",
    "text": "plain text",
}
