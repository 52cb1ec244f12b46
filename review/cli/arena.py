"""What the arena's command does."""

import argparse
from dataclasses import asdict
from typing import Any

from core.cli.output import say, show
from core.storage.atomic_write import told_by_path, write_file
from core.storage.workspace import Workspace
from review.arena.exchange import export_battles, import_battles
from review.arena.leaderboard import Leaderboard, leaderboard
from review.arena.store import ArenaStore


def arena(chosen: argparse.Namespace) -> int:
    """Bring battles in, write them out, and show the leaderboard."""
    store = ArenaStore(Workspace(chosen.workspace))
    if chosen.brought is not None:
        say(f"{import_battles(store, chosen.brought):,} battles were added.")
    battles = store.judged()
    if chosen.out is not None:
        with told_by_path(chosen.out):
            write_file(chosen.out, export_battles(battles).encode("utf-8", "surrogatepass"))
    found = leaderboard(battles, without_style=chosen.without_style)
    show(leaderboard_object(found), leaderboard_text(found), as_json=chosen.json)
    return 0


def leaderboard_object(board: Leaderboard) -> dict[str, Any]:
    """Return a leaderboard as JSON has it."""
    return {
        "battles": board.battles, "leaked": board.leaked, "people": board.people,
        "models": [asdict(one) for one in board.ranking.standings],
        "note": board.ranking.obstacle or board.ranking.note,
        "style": {name: asdict(effect) for name, effect in board.styles},
        "meetings": [{**asdict(one), "share": one.share} for one in board.meetings],
    }  # fmt: skip


def leaderboard_text(board: Leaderboard) -> str:
    """Return a leaderboard as text for a terminal."""
    people = "1 person" if board.people == 1 else f"{board.people:,} people"
    lines = [f"{board.battles:,} battles by {people}, {board.leaked:,} not counted."]
    for one in board.ranking.standings:
        ranks = (
            f"{one.best_rank}-{one.worst_rank}"
            if one.worst_rank != one.best_rank
            else f"{one.best_rank}"
        )
        lines.append(
            f"{ranks:>5}  {one.name}: {one.rating:,.0f} ({one.low:,.0f} to {one.high:,.0f}), "
            f"{one.bouts:,} battles"
        )
    lines += [
        f"  {name}: {effect.value:+.2f} ({effect.low:+.2f} to {effect.high:+.2f})"
        for name, effect in board.styles
    ]
    lines += filter(None, [board.ranking.obstacle, board.ranking.note])
    return "\n".join(lines)
