"""The options that say which rows a command works on: files, columns, and what is done to them.

Knows options, not what they do.
"""

import argparse

from core.datasets.choices import ANSWERS, MEANINGS, PERSONAL_KINDS, THOUGHTS
from core.datasets.samples import SAMPLES

_FILE_HELP = (
    "JSON, JSONL, CSV, TSV, Parquet, Arrow, Excel, text or zip, also .gz; a folder; several of "
    f"these; or {', '.join(SAMPLES)}"
)


def add_files(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the files, and what is done to their rows."""
    parser.add_argument(
        "file", metavar="FILE", nargs="*" if optional else "+", default=None, help=_FILE_HELP
    )
    add_row_options(parser)


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Add what is done to the rows of files."""
    parser.add_argument(
        "--map",
        nargs="+",
        default=None,
        metavar="MEANING=COLUMN",
        help=f"which column holds what: {', '.join(MEANINGS)}; a template like '{{Title}}: "
        "{Body}' joins several",
    )
    parser.add_argument(
        "--mask", nargs="+", choices=PERSONAL_KINDS, default=None, help="personal data to mask"
    )
    parser.add_argument(
        "--leave-out",
        nargs="+",
        default=None,
        metavar="KIND",
        help="rows with a finding of the check: exact_repeats, personal, too_long …",
    )
    parser.add_argument(
        "--answers", choices=ANSWERS, default=None, help="of several turns, which are learnt"
    )
    parser.add_argument("--thoughts", choices=THOUGHTS, default=None, help="what stands in <think>")
