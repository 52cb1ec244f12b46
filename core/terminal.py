"""The command lines' manners: machine output on stdout, words on stderr, one line for a person's mistake."""

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from core.errors import UserError
from core.storage.workspace import DEFAULT_FOLDER

Command = Callable[[argparse.Namespace], int]
PERSONS_MISTAKE = 2


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit 2."""
        self.exit(PERSONS_MISTAKE, f"{self.prog}: {message} (see --help)\n")


def common_options() -> OneLineParser:
    """Return the options that every command takes."""
    parser = OneLineParser(add_help=False)
    parser.add_argument("--workspace", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="folder of runs and ratings")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout, one object or one per line")
    return parser


def run_command(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Parse, run the chosen command and return the exit status: 0, or 2 after one line about a person's mistake."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe or file on Windows would take what its code page has, and no more
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # a path may hold bytes that are no text
    chosen = parser.parse_args(arguments)
    command: Command = chosen.command
    try:
        return command(chosen)
    except UserError as error:
        say(f"{parser.prog}: {' '.join(str(error).split())}")
        return PERSONS_MISTAKE
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        return 0


def say(text: str) -> None:
    """Print words for a person to stderr."""
    print(text, file=sys.stderr, flush=True)


def emit(value: object) -> None:
    """Print one JSON object on a line of stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def show(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a result as one JSON object or as words."""
    if as_json:
        emit(value)
    else:
        print(text, flush=True)
