"""What the commands of judging do."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from core.cli.output import say, show
from core.datasets.prompt_lists import load_prompt_list
from core.datasets.samples import find_file
from core.errors import ReviewError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.processes.messages import Progress
from core.processes.messages import report as report_progress
from core.progress import TimeLeft, about_time
from core.storage.atomic_write import told_by_path, write_file
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.domain.rubric import NO_RUBRIC, read_rubric
from review.exchange.import_ratings import import_ratings, imported_sentence
from review.judges.agreement import JudgeReport, report_judges
from review.judges.annotations import (
    GradedResult,
    graded_results,
    holds_annotations,
    import_annotations,
)
from review.judges.export import export_any
from review.judges.protocols import CLASSIFYING, Protocol, find_protocol
from review.judges.run import JudgingPlan, judge_review, plan_judging
from review.judges.store import JudgeStore
from review.judges.text import report_object as report_object_of_judge
from review.judges.text import report_text as report_text_of_judge
from review.judging.judge import Judge
from review.results.report import Report, report_review
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


def new(chosen: argparse.Namespace) -> int:
    """Make a review and let its contenders answer."""
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


def add(chosen: argparse.Namespace) -> int:
    """Let more contenders take part, and answer."""
    workspace = Workspace(chosen.workspace)
    add_contenders(workspace, chosen.name, chosen.contenders)
    return _answer(workspace, chosen)


def _answer(workspace: Workspace, chosen: argparse.Namespace) -> int:
    answer_review(workspace, chosen.name, ModelCache(workspace), lambda: False, _say_progress)
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


def next_pair(chosen: argparse.Namespace) -> int:
    """Show the next pair of a reviewer."""
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


def judge(chosen: argparse.Namespace) -> int:
    """Let a model judge a review, and say how far it agrees with people."""
    from core.evaluation.layouts.folder import read_text

    workspace = Workspace(chosen.workspace)
    template = read_text(chosen.prompt_file) if chosen.prompt_file is not None else ""
    protocol = _protocol(chosen, template)
    if chosen.plan:
        plan = plan_judging(workspace, chosen.name, chosen.judge, protocol, chosen.most)
        show(asdict(plan), _plan_text(plan), as_json=chosen.json)
        return 0
    row = judge_review(
        workspace, chosen.name, chosen.judge, protocol, _tell_judged(), most=chosen.most
    )
    store = ReviewStore(workspace)
    reports = report_judges(store, chosen.name)
    at = [one["id"] for one in JudgeStore(store).of_review(row["review_id"])].index(row["id"])
    show(
        report_object_of_judge(reports[at]), report_text_of_judge(reports[at]), as_json=chosen.json
    )
    return 0


def _protocol(chosen: argparse.Namespace, template: str) -> Protocol:
    """Return how a judge is to be asked. Raises ReviewError."""
    classifies = chosen.protocol in CLASSIFYING
    if chosen.choices and not classifies:
        raise ReviewError("--choices are of 'classify' and 'cot-classify': choose one of these.")
    lines = chosen.choices if classifies else chosen.criteria
    return find_protocol(chosen.protocol, template, lines)


def _plan_text(plan: JudgingPlan) -> str:
    read = f"{plan.characters:,} characters"
    if plan.tokens_read is not None:
        read = f"{plan.tokens_read:,} tokens"
    return (
        f"{plan.left:,} of {plan.questions:,} questions are left: {read} to read, at most "
        f"{plan.most_tokens_written:,} tokens to write.\nThe first one:\n\n{plan.first}"
    )


def _tell_judged() -> Callable[[int, int], None]:
    """Return what says how far a judge is, and about how long the rest takes."""
    pace = TimeLeft()

    def tell(done: int, total: int) -> None:
        report_progress(Progress(stage="Judging", done=done, total=total, unit="question"))
        left = pace.seconds("judging", done, total)
        if done % 20 == 0 or done == total:
            rest = f", {about_time(left)} left" if left is not None else ""
            say(f"{done} of {total} judged{rest}")

    return tell


def rate(chosen: argparse.Namespace) -> int:
    """Judge a pair."""
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


def undo(chosen: argparse.Namespace) -> int:
    """Take the last rating back."""
    pair = _judge(chosen).undo()
    show({"undone": pair.id}, f"The rating of pair {pair.id} is taken back.", as_json=chosen.json)
    return 0


def report(chosen: argparse.Namespace) -> int:
    """Show the result."""
    store = ReviewStore(Workspace(chosen.workspace))
    if store.find(chosen.name)["response_mode"] != "pairs":
        singles = report_singles(store, chosen.name)
        show(singles_object(singles), singles_text(singles), as_json=chosen.json)
        return 0
    report = report_review(store, chosen.name)
    judges, graded = report_judges(store, chosen.name), graded_results(store, chosen.name)
    text = "\n\n".join(
        [report_text(report), *map(_graded_text, graded), *map(report_text_of_judge, judges)]
    )
    show(report_object(report) | _judged_object(report, judges, graded), text, as_json=chosen.json)
    return 0


def _judged_object(
    report: Report, judges: Sequence[JudgeReport], graded: Sequence[GradedResult]
) -> dict[str, Any]:
    """Return what judges say of a review, apart from people's verdicts; where there are none of these,
    the graded verdicts of a file stand for the win rate, and that is said.
    """
    found: dict[str, Any] = {
        "judges": [report_object_of_judge(one) for one in judges],
        "graded": [asdict(one) for one in graded],
    }
    if graded and not report.ratings:
        first = graded[-1]
        found |= {
            "contender": first.contender, "against": first.against, "win_rate": first.win_rate,
            "length_controlled_win_rate": first.length_controlled_win_rate,
            "win_rate_by": first.judge,
        }  # fmt: skip
    return found


def _graded_text(graded: GradedResult) -> str:
    controlled = graded.length_controlled_win_rate
    at_equal = ""
    if controlled is not None:
        at_equal = f", {controlled:.1%} at equal lengths by {graded.length_controlled_by},"
    return (
        f"{graded.contender} against {graded.against} by {graded.judge}: {graded.win_rate:.1%}{at_equal} "
        f"of {graded.judged:,} graded verdicts."
        + (f" {graded.errors:,} could not be read." if graded.errors else "")
    )


def import_file(chosen: argparse.Namespace) -> int:
    """Add ratings that were given elsewhere."""
    if holds_annotations(chosen.file):
        graded = import_annotations(
            Workspace(chosen.workspace), chosen.name, chosen.file, chosen.difficulties
        )
        show(asdict(graded), _graded_text(graded), as_json=chosen.json)
        return 0
    found = import_ratings(ReviewStore(Workspace(chosen.workspace)), chosen.name, chosen.file)
    show(asdict(found), imported_sentence(found), as_json=chosen.json)
    return 0


def export(chosen: argparse.Namespace) -> int:
    """Write the ratings to a file."""
    store = ReviewStore(Workspace(chosen.workspace))
    text = export_any(store, chosen.name, chosen.form, chosen.of)
    with told_by_path(chosen.out):
        write_file(chosen.out, text.encode())
    lines = text.count("\n")
    show(
        {"out": str(chosen.out), "lines": lines},
        f"{lines} lines written to {chosen.out}",
        as_json=chosen.json,
    )
    return 0
