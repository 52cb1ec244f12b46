"""Judging without a screen: new, next, rate, undo, report, export."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from core.cli.output import OneLineParser, common_options, run_command, say, show
from core.datasets.conversation import SPLIT_NAMES
from core.datasets.dataset import find_file
from core.datasets.prompt_lists import load_prompt_list
from core.errors import ReviewError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.storage.atomic_write import write_file
from core.storage.workspace import Workspace
from review.domain.plan import DEFAULT_REPEATS
from review.domain.rating import ALLOWED, MOST_STARS, TAGS, VERDICTS, make_rating
from review.domain.rubric import NO_RUBRIC, read_rubric
from review.exchange.export import FORMATS, export_review
from review.exchange.import_ratings import import_ratings, imported_sentence
from review.judging.judge import Judge
from review.results.report import report_review
from review.results.single_responses import report_singles
from review.results.text import report_object, report_text, singles_object, singles_text
from review.setup.generate_responses import (
    RowChoice,
    add_contenders,
    answer_review,
    create_review,
    is_unfinished,
    plan_review,
)
from review.store.reviews import ReviewStore


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
    commands.add_parser("next", parents=[judged], help="show the next pair").set_defaults(
        command=_next
    )
    commands.add_parser("undo", parents=[judged], help="take the last rating back").set_defaults(
        command=_undo
    )
    _add_rate(commands.add_parser("rate", parents=[judged], help="judge a pair"))
    commands.add_parser("report", parents=[named], help="show the result").set_defaults(
        command=_report
    )
    _add_import(
        commands.add_parser("import", parents=[named], help="add ratings that were given elsewhere")
    )
    _add_export(commands.add_parser("export", parents=[named], help="write the ratings to a file"))
    return parser


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
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="X", help="0 takes the likeliest token"
    )
    parser.add_argument(
        "--max-new-tokens", type=int, default=128, metavar="N", help="longest answer"
    )
    parser.add_argument("--seed", type=int, default=42, metavar="N")
    parser.set_defaults(command=_new)


def _add_more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--contenders", required=True, nargs="+", metavar="M", help="as for 'new'")
    parser.set_defaults(command=_more)


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
    parser.set_defaults(command=_rate)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file",
        type=Path,
        required=True,
        metavar="FILE",
        help="with row, reviewer, a, b and verdict, as exported",
    )
    parser.set_defaults(command=_import)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as", dest="form", choices=FORMATS, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.set_defaults(command=_export)


def _new(chosen: argparse.Namespace) -> int:
    workspace = Workspace(chosen.workspace)
    dataset = load_prompt_list(find_file(chosen.data))
    sampling = Sampling(
        temperature=chosen.temperature, max_new_tokens=chosen.max_new_tokens, seed=chosen.seed
    )
    choice = RowChoice(None if chosen.split == "all" else chosen.split, chosen.rows)
    plan = replace(
        plan_review(workspace, dataset, chosen.name, chosen.contenders, choice, sampling),
        overlap=chosen.overlap,
        repeats=chosen.repeats,
        response_mode=chosen.judge,
        rubric=read_rubric(chosen.rubric) if chosen.rubric else NO_RUBRIC,
    )
    if not is_unfinished(workspace, plan):
        create_review(workspace, dataset, plan)
        if plan.notice:
            say(plan.notice)
    return _answer(workspace, chosen)


def _more(chosen: argparse.Namespace) -> int:
    workspace = Workspace(chosen.workspace)
    add_contenders(workspace, chosen.name, chosen.contenders)
    return _answer(workspace, chosen)


def _answer(workspace: Workspace, chosen: argparse.Namespace) -> int:
    answer_review(
        workspace, chosen.name, ModelCache(workspace.find_run_model), lambda: False, _say_progress
    )
    pairs = ReviewStore(workspace).find(chosen.name)["pair_count"]
    show(
        {"review": chosen.name, "pairs": pairs},
        f"{chosen.name}: {pairs} pairs to judge",
        as_json=chosen.json,
    )
    return 0


def _say_progress(done: int, total: int) -> None:
    if done % 25 == 0 or done == total:
        say(f"{done} of {total} responses")


def _judge(chosen: argparse.Namespace) -> Judge:
    return Judge(ReviewStore(Workspace(chosen.workspace)), chosen.name, chosen.reviewer)


def _next(chosen: argparse.Namespace) -> int:
    judge = _judge(chosen)
    done, total = judge.progress()
    pairs = judge.next_pairs(1)
    if not pairs:
        words = (
            f"All {total} pairs are judged."
            if done == total
            else f"{total - done} pairs are with other people just now."
        )
        show({"pair": None, "done": done, "total": total}, words, as_json=chosen.json)
        return 0
    pair = pairs[0]
    responses = {"a": pair.a, "b": pair.b} if pair.response_mode == "pairs" else {"a": pair.a}
    shown = "".join(f"\n\n--- {side.upper()} ---\n{text}" for side, text in responses.items())
    text = f"pair {pair.id} ({done} of {total} judged)\n\n{pair.prompt}{shown}"
    value = {"pair": pair.id, "prompt": pair.prompt, **responses, "done": done, "total": total}
    show(value, text, as_json=chosen.json)
    return 0


def _rate(chosen: argparse.Namespace) -> int:
    a = {
        "stars": chosen.stars_a,
        "tags": [*chosen.tags_a, *(chosen.tags if chosen.verdict != "a" else ())],
    }
    b = {
        "stars": chosen.stars_b,
        "tags": [*chosen.tags_b, *(chosen.tags if chosen.verdict != "b" else ())],
    }
    marks = {"flagged": chosen.flag, "unblinded": chosen.knew}
    rating = make_rating(chosen.verdict, chosen.comment, chosen.correction, a=a, b=b, **marks)
    saved = _judge(chosen).rate(chosen.pair, rating)
    show({"saved": saved}, f"Saved as rating {saved}.", as_json=chosen.json)
    return 0


def _undo(chosen: argparse.Namespace) -> int:
    pair = _judge(chosen).undo()
    show({"undone": pair.id}, f"The rating of pair {pair.id} is taken back.", as_json=chosen.json)
    return 0


def _report(chosen: argparse.Namespace) -> int:
    store = ReviewStore(Workspace(chosen.workspace))
    if store.find(chosen.name)["response_mode"] != "pairs":
        singles = report_singles(store, chosen.name)
        show(singles_object(singles), singles_text(singles), as_json=chosen.json)
        return 0
    report = report_review(store, chosen.name)
    show(report_object(report), report_text(report), as_json=chosen.json)
    return 0


def _import(chosen: argparse.Namespace) -> int:
    found = import_ratings(ReviewStore(Workspace(chosen.workspace)), chosen.name, chosen.file)
    show(asdict(found), imported_sentence(found), as_json=chosen.json)
    return 0


def _export(chosen: argparse.Namespace) -> int:
    text = export_review(ReviewStore(Workspace(chosen.workspace)), chosen.name, chosen.form)
    try:
        write_file(chosen.out, text.encode())
    except OSError as error:
        raise ReviewError(f"{chosen.out} cannot be written: {error.strerror}.") from error
    lines = text.count("\n")
    show(
        {"out": str(chosen.out), "lines": lines},
        f"{lines} lines written to {chosen.out}",
        as_json=chosen.json,
    )
    return 0
