"""The options of judging without a screen. Knows no command: each is loaded when it is run."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.cli.output import (
    OneLineParser,
    add_sampling_options,
    common_options,
    run_command,
    whole,
)
from core.datasets.conversation import SPLIT_NAMES
from review.domain.plan import DEFAULT_REPEATS
from review.domain.rating import ALLOWED, MOST_STARS, TAGS, VERDICTS
from review.exchange.formats import FORMATS
from review.judges.protocols import PROTOCOLS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_command(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m review", description="Judge responses without a screen.")
    commands = parser.add_subparsers(required=True, parser_class=OneLineParser, metavar="COMMAND")
    named = OneLineParser(add_help=False, parents=[common_options()])
    named.add_argument("--name", required=True, metavar="R", help="the review's name")
    _add_new(commands.add_parser("new", parents=[named], help="make a review"))
    _add_more(commands.add_parser("add", parents=[named], help="let more contenders take part"))
    judged = OneLineParser(add_help=False, parents=[named])
    judged.add_argument("--reviewer", required=True, metavar="P", help="who judges")
    _add_plain(commands, "next", judged, "show the next pair", "review.cli.commands:next_pair")
    _add_plain(commands, "undo", judged, "take the last rating back", "review.cli.commands:undo")
    _add_rate(commands.add_parser("rate", parents=[judged], help="judge a pair"))
    _add_plain(commands, "report", named, "show the result", "review.cli.commands:report")
    _add_judge(
        commands.add_parser("judge", parents=[named], help="let a model judge, beside people")
    )
    _add_import(
        commands.add_parser("import", parents=[named], help="add ratings that were given elsewhere")
    )
    _add_arena(
        commands.add_parser(
            "arena", parents=[common_options()], help="what battles of hidden models say"
        )
    )
    _add_export(commands.add_parser("export", parents=[named], help="write the ratings to a file"))
    return parser


def _add_judge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--judge", required=True, metavar="M", help="a model, a run, or http://HOST:PORT/v1#MODEL"
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, default="pairwise", help="how it is asked")
    parser.add_argument(
        "--most", type=whole, default=0, metavar="N", help="only the first N pairs or responses"
    )
    parser.add_argument(
        "--prompt-file", type=Path, default=None, metavar="FILE", help="words of your own to ask in"
    )
    parser.add_argument(
        "--criteria", nargs="+", default=[], metavar="TEXT", help="of a rubric: It …"
    )
    parser.add_argument(
        "--choices", nargs="+", default=[], metavar="'TEXT = N'",
        help="of a classification: a description of an answer, and what it counts",
    )  # fmt: skip
    parser.add_argument(
        "--plan", action="store_true", help="only say what would be asked, and how much that is"
    )
    parser.set_defaults(command="review.cli.commands:judge")


def _add_arena(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without-style", action="store_true",
        help="without what length, headings, lists and bold explain",
    )  # fmt: skip
    parser.add_argument(
        "--import", dest="brought", type=Path, default=None, metavar="FILE",
        help="first add battles of a file, as FastChat's arena writes them",
    )  # fmt: skip
    parser.add_argument(
        "--export", dest="out", type=Path, default=None, metavar="FILE",
        help="write all battles to a file, as FastChat's arena does",
    )  # fmt: skip
    parser.set_defaults(command="review.cli.arena:arena")


def _add_plain(
    commands: Any, name: str, parent: argparse.ArgumentParser, text: str, command: str
) -> None:
    """Add a command that has no options of its own."""
    commands.add_parser(name, parents=[parent], help=text).set_defaults(command=command)


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="the file whose rows are asked, prompts with or without answers, or 'sample'",
    )
    parser.add_argument(
        "--contenders",
        required=True,
        nargs="+",
        metavar="M",
        help="two or more models or runs; 'expected': the file's own answers; file:PATH: "
        "finished responses; http://HOST/v1#MODEL",
    )
    parser.add_argument(
        "--rubric",
        type=Path,
        metavar="FILE",
        help="what reviewers judge by, shown beside every pair",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        default=0,
        metavar="N",
        help="people who judge each pair; 0: everybody judges all",
    )
    parser.add_argument(
        "--judge",
        choices=tuple(ALLOWED),
        default="pairs",
        help="pairs, or single responses: pass or fail, or stars",
    )
    parser.add_argument(
        "--repeats",
        type=float,
        default=DEFAULT_REPEATS,
        metavar="P",
        help="percent of pairs that the page shows twice",
    )
    parser.add_argument(
        "--split", choices=(*SPLIT_NAMES, "all"), default="test", help="which rows (default: test)"
    )
    parser.add_argument("--rows", type=int, default=0, metavar="N", help="only the first N of them")
    add_sampling_options(parser, ("temperature", "max_new_tokens", "seed"))
    parser.set_defaults(command="review.cli.commands:new")


def _add_more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--contenders", required=True, nargs="+", metavar="M", help="as for 'new'")
    parser.set_defaults(command="review.cli.commands:add")


def _add_rate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pair", type=int, required=True, metavar="ID", help="from 'next'")
    parser.add_argument("--verdict", required=True, choices=VERDICTS)
    parser.add_argument(
        "--tags",
        nargs="*",
        default=[],
        metavar="TAG",
        help="of the worse response, or of both if neither is better",
    )
    for side in "ab":
        parser.add_argument(
            f"--tags-{side}",
            nargs="*",
            default=[],
            metavar="TAG",
            help=f"of {side.upper()}: {', '.join(TAGS)}",
        )
        parser.add_argument(
            f"--stars-{side}", type=int, metavar="N", help=f"of {side.upper()}: 1 to {MOST_STARS}"
        )
    parser.add_argument("--comment", default="", metavar="TEXT")
    parser.add_argument(
        "--correction", default="", metavar="TEXT", help="the answer as it should be"
    )
    parser.add_argument(
        "--flag", action="store_true", help="somebody should look at this pair again"
    )
    parser.add_argument(
        "--knew", action="store_true", help="I know which is which: keep it out of the counts"
    )
    parser.set_defaults(command="review.cli.commands:rate")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file",
        type=Path,
        required=True,
        metavar="FILE",
        help="with row, reviewer, a, b and verdict, as exported; AlpacaEval's annotations.json; or "
        "FastChat's reviews in pairs of scores",
    )
    parser.add_argument(
        "--difficulties", type=Path, default=None, metavar="FILE",
        help="AlpacaEval's df_gamed.csv, for annotations: its own length-controlled win rate",
    )  # fmt: skip
    parser.set_defaults(command="review.cli.commands:import_file")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as", dest="form", choices=FORMATS, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--of", default="", metavar="NAME",
        help="the judge or contender whose it shall be, of what is not people's",
    )  # fmt: skip
    parser.set_defaults(command="review.cli.commands:export")
