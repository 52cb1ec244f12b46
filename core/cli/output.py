"""Output of the command lines: JSON or text on stdout, messages on stderr, one line for a user's
error.
"""

import argparse
import gc
import io
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from core.errors import EXIT_USER_ERROR, UserError
from core.generation.sampling import Sampling
from core.processes.messages import Failure, report
from core.progress import ongoing
from core.storage import DEFAULT_FOLDER
from core.text import LONGEST_SENTENCE, has_half_character, printable, printable_json, shortened

Command = Callable[[argparse.Namespace], int]  # named "module:function": loaded when it is run
_TOLD_EVERY_S = 5.0
_PATHS = {"file", "data"}  # names of files may hold any bytes


_SAMPLING_HELP = {
    "temperature": "0 takes the likeliest token",
    "top_k": "draw from the N likeliest tokens",
    "top_p": "draw from the likeliest tokens up to this probability",
    "max_new_tokens": "longest answer",
}


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit 2."""
        self.exit(EXIT_USER_ERROR, f"{self.prog}: {message} (see --help)\n")


def common_options() -> OneLineParser:
    """Return the options that every command takes."""
    parser = OneLineParser(add_help=False)
    parser.add_argument(
        "--workspace",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help="folder of runs and ratings",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON on stdout, one object or one per line"
    )
    return parser


def add_sampling_options(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Add an option for each of these fields of ``Sampling``, with its default."""
    for name in names:
        default = getattr(Sampling(), name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            metavar="X" if isinstance(default, float) else "N",
            help=_SAMPLING_HELP.get(name),
        )


def run_command(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Parse, run the chosen command and return the exit status: 0, or 2 after one line about a
    user's mistake.
    """
    for stream in (sys.stdout, sys.stderr):
        # a pipe or file on Windows would take what its code page has, and no more
        if isinstance(stream, io.TextIOWrapper):
            # a path may hold bytes that are no text
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    chosen = parser.parse_args(arguments)
    # a file is millions of objects that live as long as the command: looking through them again and
    # again took a tenth of its time
    gc.set_threshold(200_000, 50, 100)
    try:
        _check_is_text(chosen)
        with _told_of_long_work():
            return _load(chosen.command)(chosen)
    except UserError as error:
        report(Failure(text=shortened(str(error), LONGEST_SENTENCE)))
        say(f"{parser.prog}: {shortened(str(error), LONGEST_SENTENCE)}")
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        return 0


@contextmanager
def _told_of_long_work() -> Iterator[None]:
    """Say now and then how far work is that takes long, as a model that is fetched."""
    is_over = threading.Event()

    def tell() -> None:
        while not is_over.wait(_TOLD_EVERY_S):
            for work in ongoing():
                left = "" if work.left_s is None else f", about {work.left_s:.0f} s left"
                say(f"{work.title}: {work.share:.0%}{left} …")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _load(name: str) -> Command:
    module, _, function = name.partition(":")
    command: Command = getattr(import_module(module), function)
    return command


def whole(word: str) -> int:
    """Return a whole number that somebody gave as an option."""
    try:
        return int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shortened(word, 40)!r} is no whole number") from None


def say(text: str) -> None:
    """Print words for a user to stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def emit(value: object) -> None:
    """Print one JSON object on a line of stdout."""
    print(printable_json(json.dumps(value, ensure_ascii=False)), flush=True)


def show(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a result as one JSON object or as words."""
    if as_json:
        emit(value)
    else:
        print(printable(text), flush=True)


def _check_is_text(chosen: argparse.Namespace) -> None:
    """Raise UserError for an option that holds bytes which are no text; a path may."""
    for name, value in vars(chosen).items():
        if isinstance(value, str) and has_half_character(value) and name not in _PATHS:
            raise UserError(
                f"--{name.replace('_', '-')} holds bytes that are no UTF-8 text: write it anew."
            )
