"""What ratings can be written as."""

from typing import Literal, get_args

ExportFormat = Literal["csv", "jsonl", "sft", "dpo", "kto"]
FORMATS: tuple[str, ...] = get_args(ExportFormat)
