"""Battles and what they are drawn from, as rows. Knows no model."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict, cast

from core.errors import ReviewError
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace, now
from review.store.migrations import review_tables

ArenaVerdict = Literal["a", "b", "tie", "both_bad"]
ARENA_VERDICTS: tuple[ArenaVerdict, ...] = ("a", "b", "tie", "both_bad")
_USUAL = Sampling(temperature=0.7, top_p=0.95, max_new_tokens=256)


class BattleRow(TypedDict):
    """One battle."""

    id: int
    key: str
    person: str
    model_a: str
    model_b: str
    facts: str  # JSON
    verdict: str
    leak: str
    source: str
    created_at: str
    voted_at: str


class ArenaTurnRow(TypedDict):
    """One prompt of a battle with both responses."""

    battle_id: int
    number: int
    prompt: str
    response_a: str
    response_b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaSettings:
    """What battles are drawn from."""

    models: tuple[str, ...] = ()
    sampling: Sampling = _USUAL
    shared: bool = False  # whether reviewers who signed in may battle


@dataclass(frozen=True, slots=True, kw_only=True)
class Battle:
    """A battle that was judged, with its texts."""

    row: BattleRow
    turns: tuple[ArenaTurnRow, ...]

    @property
    def score(self) -> float:
        """1 where A won, 0 where B did, one half where neither is better."""
        return {"a": 1.0, "b": 0.0}.get(self.row["verdict"], 0.5)

    @property
    def is_counted(self) -> bool:
        """Whether nobody could know who is who."""
        return bool(self.row["verdict"]) and not self.row["leak"]


class ArenaStore:
    """The arena of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace, making the tables where they are missing."""
        self._database = workspace.database
        self._database.migrate(review_tables)

    def settings(self) -> ArenaSettings:
        """Return what battles are drawn from."""
        row = self._database.one("SELECT * FROM arena")
        if row is None:
            return ArenaSettings()
        sampling = {**asdict(_USUAL), **json.loads(row["sampling"])}
        sampling["stop"] = tuple(sampling["stop"])
        return ArenaSettings(
            models=tuple(json.loads(row["models"])),
            sampling=Sampling(**{name: sampling[name] for name in asdict(_USUAL)}),
            shared=bool(row["shared"]),
        )

    def set_settings(self, settings: ArenaSettings) -> None:
        """Write down what battles are drawn from."""
        with self._database.transaction() as tables:
            tables.table("arena").insert(
                {
                    "id": 1, "models": json.dumps(list(dict.fromkeys(settings.models))),
                    "sampling": json.dumps(asdict(settings.sampling)), "shared": int(settings.shared),
                },
                replace=True,
            )  # fmt: skip

    def create(self, person: str, models: tuple[str, str], facts: Mapping[str, Any]) -> BattleRow:
        """Begin a battle between two models, the first on the left."""
        key = secrets.token_urlsafe(18)
        with self._database.transaction() as tables:
            tables.table("arena_battles").insert(
                _battle(key, person, models) | {"facts": json.dumps(dict(facts))}
            )
        return self.find(key)

    def find(self, key: str) -> BattleRow:
        """Return the battle of a key. Raises ReviewError where there is none."""
        row = self._database.one("SELECT * FROM arena_battles WHERE key = ?", [key])
        if row is None:
            raise ReviewError("There is no such battle: begin a new one.")
        return cast("BattleRow", row)

    def delete(self, key: str) -> None:
        """Forget a battle that could not be fought."""
        with self._database.transaction() as tables:
            tables.table("arena_battles").delete_where("key = ? AND verdict = ''", [key])

    def forget_unjudged(self) -> None:
        """Delete battles that nobody can judge any more: the app that fought them has ended."""
        with self._database.transaction() as tables:
            tables.table("arena_battles").delete_where("verdict = ''")

    def add_turn(self, row: ArenaTurnRow) -> None:
        """Write a prompt and both responses down."""
        with self._database.transaction() as tables:
            tables.table("arena_turns").insert(cast("dict[str, Any]", row), replace=True)

    def turns(self, battle_id: int) -> list[ArenaTurnRow]:
        """Return the turns of a battle in their order."""
        rows = self._database.query(
            "SELECT * FROM arena_turns WHERE battle_id = ? ORDER BY number", [battle_id]
        )
        return cast("list[ArenaTurnRow]", rows)

    def vote(self, key: str, verdict: str, leak: str) -> BattleRow:
        """Write a verdict down. Raises ReviewError for one that there is not, and for a second one."""
        if verdict not in ARENA_VERDICTS:
            raise ReviewError(
                f"There is no verdict '{verdict[:20]}': say {', '.join(ARENA_VERDICTS)}."
            )
        with self._database.transaction() as tables:
            known = self.find(key)
            if known["verdict"]:
                raise ReviewError("This battle is judged already: begin a new one.")
            tables.table("arena_battles").update(
                known["id"], {"verdict": verdict, "leak": leak, "voted_at": now()}
            )
        return self.find(key)

    def judged(self) -> list[Battle]:
        """Return every battle that has a verdict, the first judged first."""
        rows = self._database.query(
            "SELECT * FROM arena_battles WHERE verdict <> '' ORDER BY voted_at, id"
        )
        turns: dict[int, list[ArenaTurnRow]] = {row["id"]: [] for row in rows}
        for turn in self._database.query("SELECT * FROM arena_turns ORDER BY battle_id, number"):
            if turn["battle_id"] in turns:
                turns[turn["battle_id"]].append(cast("ArenaTurnRow", turn))
        return [Battle(row=cast("BattleRow", row), turns=tuple(turns[row["id"]])) for row in rows]

    def tallies(self) -> dict[tuple[str, str], tuple[float, int]]:
        """Return by two models in the order of their names (score of the first, battles counted)."""
        found: dict[tuple[str, str], tuple[float, int]] = {}
        rows = self._database.query(
            """SELECT model_a, model_b, verdict, count(*) AS many FROM arena_battles
               WHERE verdict <> '' AND leak = '' GROUP BY model_a, model_b, verdict"""
        )
        for row in rows:
            a, b, many = row["model_a"], row["model_b"], int(row["many"])
            share = {"a": 1.0, "b": 0.0}.get(row["verdict"], 0.5)
            score, count = found.get((min(a, b), max(a, b)), (0.0, 0))
            of_first = share if a < b else 1 - share
            found[min(a, b), max(a, b)] = (score + of_first * many, count + many)
        return found

    def bring(
        self, battles: Iterable[tuple[dict[str, Any], Sequence[tuple[str, str, str]]]]
    ) -> int:
        """Add judged battles of a file with their turns (prompt, response of A, of B), all or none;
        return how many were not there already.
        """
        added = 0
        with self._database.transaction() as tables:
            known = {row["key"] for row in tables.query("SELECT key FROM arena_battles")}
            for values, turns in battles:
                if values["key"] in known:
                    continue
                known.add(values["key"])
                number = tables.table("arena_battles").insert(values).last_pk
                tables.table("arena_turns").insert_all(
                    {
                        "battle_id": number, "number": at, "prompt": prompt, "response_a": a,
                        "response_b": b,
                    }
                    for at, (prompt, a, b) in enumerate(turns, start=1)
                )  # fmt: skip
                added += 1
        return added


def _battle(key: str, person: str, models: tuple[str, str]) -> dict[str, Any]:
    return {
        "key": key, "person": person, "model_a": models[0], "model_b": models[1], "facts": "{}",
        "verdict": "", "leak": "", "source": "", "created_at": now(), "voted_at": "",
    }  # fmt: skip
