"""Reviews, their contenders and their responses, as rows.

Knows no model: responses are given to it.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from sqlite_utils import Database as SqliteUtils

from core.datasets.conversation import Example, Turn
from core.errors import ReviewError
from core.generation.chat_model import Response
from core.storage.workspace import Workspace, check_new_name, free_name, now
from review.domain.contender import Entrant
from review.domain.plan import ReviewPlan
from review.domain.rubric import Rubric
from review.domain.states import ReviewState
from review.store.migrations import review_tables
from review.store.rows import ReviewRow, Row

_BLANKS = "char(9, 10, 13, 32)"
SAME_TEXT = f"(trim(a.text, {_BLANKS}) = trim(b.text, {_BLANKS}))"  # of responses a and b


@dataclass(frozen=True, slots=True)
class Contender:
    """Something whose responses are judged."""

    id: int
    name: str
    kind: str  # "model", "expected", "file" or "endpoint"
    facts: Row  # what it takes to find it again; of a model the fingerprint of its ``weights`` too


class ReviewStore:
    """The reviews of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace, making the tables where they are missing."""
        self.database = workspace.database
        self.database.migrate(review_tables)

    def create(self, plan: ReviewPlan, versions: Mapping[str, str]) -> None:
        """Write a review, its prompts and the responses that are there already down.

        Raises ReviewError when the name is taken or nothing can be compared.
        """
        self._check(plan)
        with self.database.transaction() as tables:
            review_id = (
                tables.table("reviews")
                .insert(
                    {
                        "name": plan.name,
                        "state": ReviewState.GENERATING,
                        "content_hash": plan.content_hash,
                        "split": plan.split,
                        "split_settings": json.dumps(asdict(plan.splits)),
                        "sampling": json.dumps(asdict(plan.sampling)),
                        "versions": json.dumps(dict(versions)),
                        "side_seed": secrets.token_hex(8),
                        "overlap": plan.overlap,
                        "repeats": plan.repeats,
                        "response_mode": plan.response_mode,
                        "rubric_name": plan.rubric.name,
                        "rubric": plan.rubric.text,
                        "created_at": now(),
                    }
                )
                .last_pk
            )
            tables.table("prompts").insert_all(
                _prompt_row(review_id, example)
                | {"seen_by": json.dumps(plan.seen.get(example.row, ()))}
                for example in plan.examples
            )
            for position, entrant in enumerate(plan.contenders):
                _add_contender(tables, review_id, position, entrant)

    def add_contender(self, review_id: int, entrant: Entrant) -> None:
        """Let one more take part, under a name that no other has; what was judged stays."""
        with self.database.transaction() as tables:
            [last] = tables.query(
                "SELECT max(position) AS position FROM contenders WHERE review_id = ?", [review_id]
            )
            _add_contender(tables, review_id, last["position"] + 1, entrant)
            tables.table("reviews").update(
                review_id,
                {"state": ReviewState.STOPPED, "message": "A contender was added. Continue it."},
            )

    def examples(self, review_id: int) -> list[Example]:
        """Return a review's prompts as they stood in the dataset."""
        rows = self.database.query(
            "SELECT * FROM prompts WHERE review_id = ? ORDER BY data_row", [review_id]
        )
        return [
            Example(
                row["data_row"],
                (*_turns(row), Turn("assistant", row["expected"])),
                None,
                row["category"],
            )
            for row in rows
        ]

    def find(self, name: str) -> ReviewRow:
        """Return a review's row. Raises ReviewError when there is none."""
        row = self.database.one("SELECT * FROM reviews WHERE name = ?", [name])
        if row is None:
            raise ReviewError(
                f"There is no review '{name}': make it first."
                if name
                else "Choose a review, or make one first."
            )
        return cast("ReviewRow", row)

    def free_name(self, stem: str) -> str:
        """Return ``stem-N`` with the first N that no review has."""
        return free_name(stem, (row["name"] for row in self.all()))

    def all(self) -> list[ReviewRow]:
        """Return all reviews, the latest first, each with its counts."""
        rows = self.database.query(
            "SELECT reviews.*, pair_count AS pairs, verdict_count AS ratings FROM reviews ORDER "
            "BY id DESC"
        )
        return cast("list[ReviewRow]", rows)

    def rubrics(self) -> list[Rubric]:
        """Return the rubrics of all reviews, the latest text of each name first."""
        rows = self.database.query(
            "SELECT rubric_name, rubric FROM reviews WHERE rubric <> '' ORDER BY id"
        )
        return [
            Rubric(name, text)
            for name, text in reversed({row["rubric_name"]: row["rubric"] for row in rows}.items())
        ]

    def contenders(self, review_id: int) -> list[Contender]:
        """Return a review's contenders in the order they were listed."""
        rows = self.database.query(
            "SELECT * FROM contenders WHERE review_id = ? ORDER BY position", [review_id]
        )
        return [
            Contender(row["id"], row["name"], row["kind"], json.loads(row["facts"])) for row in rows
        ]

    def waiting_for(self, run: str) -> str:
        """Return the name of a review that a run, or a model of one of its steps, has not answered
        wholly; '' for none.
        """
        row = self.database.one(
            """SELECT reviews.name FROM reviews JOIN contenders ON review_id = reviews.id
               WHERE state <> 'ready' AND kind = 'model' AND (contenders.name = :run OR
               substr(contenders.name, 1, length(:run) + 1) = :run || '@')""",
            {"run": run},
        )
        return str(row["name"]) if row else ""

    def unanswered(self, contender_id: int) -> list[tuple[int, list[Turn], str]]:
        """Return (prompt id, turns, expected answer) of every prompt that a contender has not
        answered yet.
        """
        rows = self.database.query(
            """SELECT prompts.id, turns, expected FROM prompts JOIN contenders USING (review_id)
               WHERE contenders.id = ? AND NOT EXISTS
                     (SELECT 1 FROM responses WHERE contender_id = contenders.id AND prompt_id = prompts.id)
               ORDER BY data_row""",
            [contender_id],
        )
        return [(row["id"], _turns(row), row["expected"]) for row in rows]

    def add_response(self, contender_id: int, prompt_id: int, response: Response) -> None:
        """Keep one response."""
        row = {
            "contender_id": contender_id,
            "prompt_id": prompt_id,
            "asked": response.prompt,
            "text": response.text,
            "tokens": response.tokens,
            "finish_reason": response.finish_reason,
            "created_at": now(),
        }
        with self.database.transaction() as tables:
            tables.table("responses").insert(row)

    def add_pairs(self, review_id: int) -> None:
        """Pair every two contenders on every prompt, or each response with itself, and open the
        review for judging.

        Two responses of the same words can only tie, so nobody is asked about them. The order is
        random: a pair's number tells nothing of who meets whom.
        """
        with self.database.transaction() as tables:
            tables.execute(
                f"""INSERT OR IGNORE INTO pairs (review_id, prompt_id, first_response_id, second_response_id)
                   SELECT one.review_id, a.prompt_id, a.id, b.id FROM responses a
                   JOIN contenders one ON one.id = a.contender_id
                   JOIN reviews ON reviews.id = one.review_id
                   JOIN contenders two ON two.review_id = one.review_id
                        AND CASE response_mode WHEN 'pairs' THEN two.position > one.position ELSE two.id = one.id END
                   JOIN responses b ON b.contender_id = two.id AND b.prompt_id = a.prompt_id
                   WHERE one.review_id = ? AND (a.id = b.id OR NOT {SAME_TEXT}) ORDER BY random()""",
                [review_id],
            )
            tables.table("reviews").update(review_id, {"state": ReviewState.READY, "message": ""})

    def set_state(self, review_id: int, state: ReviewState, message: str = "") -> None:
        """Move a review to a state."""
        with self.database.transaction() as tables:
            tables.table("reviews").update(review_id, {"state": state, "message": message})

    def progress(self, review_id: int) -> tuple[int, int]:
        """Return how many responses there are and will be."""
        row = self.database.one(
            """SELECT (SELECT count(*) FROM responses JOIN contenders c ON c.id = contender_id WHERE review_id = :id) AS done,
                      (SELECT count(*) FROM prompts WHERE review_id = :id)
                      * (SELECT count(*) FROM contenders WHERE review_id = :id) AS total""",
            {"id": review_id},
        )
        return (row["done"], row["total"]) if row else (0, 0)

    def reviewers(self, name: str) -> list[str]:
        """Return who has judged, by name."""
        return sorted(person["name"] for person in self.people(name)["people"])

    def people(self, name: str) -> Row:
        """Return how far everybody is who judges a review, the busiest first; nothing of what they
        said.
        """
        review = self.find(name)
        sql = """SELECT reviewer AS name, judged FROM reviewer_progress
                 WHERE review_id = ? AND judged > 0 ORDER BY judged DESC, name"""
        rows = self.database.query(sql, [review["id"]])
        sql = "SELECT count(*) AS n FROM pairs INDEXED BY disputed_pairs WHERE review_id = ? AND is_disputed = 1"
        disputed = self.database.scalar(sql, [review["id"]])
        counts = {
            "pairs": review["pair_count"],
            "ratings": review["verdict_count"],
            "disputed": disputed,
        }
        return {"people": rows, "response_mode": review["response_mode"], **counts}

    def count_settled(self, review_id: int) -> int:
        """Return how many pairs of a review a blind later verdict has settled."""
        sql = """SELECT count(DISTINCT pair_id) AS n FROM verdicts JOIN pairs ON pairs.id = pair_id
                 WHERE review_id = ? AND adjudicates = 1 AND unblinded = 0"""
        return int(self.database.scalar(sql, [review_id]))

    def meetings(self, review_id: int) -> dict[frozenset[str], tuple[int, int]]:
        """Return for every two contenders how often both say the same, and how many of their pairs
        have no verdict.
        """
        rows = self.database.query(
            f"""SELECT one.name AS one, two.name AS two, sum({SAME_TEXT}) AS identical,
                       sum(CASE WHEN pairs.id IS NOT NULL AND pairs.verdict_count = 0 THEN 1 ELSE 0 END) AS unjudged
                FROM contenders one JOIN contenders two ON two.review_id = one.review_id AND two.position > one.position
                JOIN responses a ON a.contender_id = one.id
                JOIN responses b ON b.contender_id = two.id AND b.prompt_id = a.prompt_id
                LEFT JOIN pairs ON pairs.first_response_id = a.id AND pairs.second_response_id = b.id
                WHERE one.review_id = ? GROUP BY one.id, two.id""",
            [review_id],
        )
        return {
            frozenset((row["one"], row["two"])): (row["identical"], row["unjudged"]) for row in rows
        }

    def learnt(self, review_id: int) -> tuple[tuple[str, int], ...]:
        """Return the contenders that were trained on prompts of a review, each with how many of
        them.
        """
        rows = self.database.query(
            """SELECT value AS name, count(*) AS n FROM prompts, json_each(seen_by) WHERE review_id = ?
               GROUP BY value ORDER BY n DESC""",
            [review_id],
        )
        return tuple((row["name"], row["n"]) for row in rows)

    def share(self, name: str, *, shared: bool) -> None:
        """Let reviewers see a review's result, or no longer."""
        with self.database.transaction() as tables:
            tables.table("reviews").update(self.find(name)["id"], {"shared": int(shared)})

    def known_reviewer(self, name: str) -> str:
        """Return a reviewer's name as it was written when they first judged, whatever its capitals
        now.
        """
        sql = "SELECT DISTINCT reviewer FROM reviewer_progress WHERE reviewer = ? COLLATE NOCASE AND judged > 0"
        known = [row["reviewer"] for row in self.database.query(sql, [name])]
        return name if name in known or not known else str(known[0])

    def all_reviewers(self) -> list[str]:
        """Return everybody who has judged in any review, by name."""
        rows = self.database.query(
            "SELECT DISTINCT reviewer FROM reviewer_progress WHERE judged > 0 ORDER BY reviewer "
            "COLLATE NOCASE"
        )
        return [row["reviewer"] for row in rows]

    def kinds(self, name: str) -> tuple[list[str], list[str]]:
        """Return the categories and the splits of a review's prompts."""
        review_id = self.find(name)["id"]
        rows = self.database.query(
            "SELECT DISTINCT category, split FROM prompts WHERE review_id = ?", [review_id]
        )
        categories, splits = (
            {row[kind] for row in rows if row[kind]} for kind in ("category", "split")
        )
        return sorted(categories), sorted(splits)

    def _check(self, plan: ReviewPlan) -> None:
        check_new_name(plan.name)
        if taken := self.database.one(
            "SELECT name FROM reviews WHERE name = ? COLLATE NOCASE", [plan.name]
        ):
            raise ReviewError(f"There is a review '{taken['name']}' already: choose another name.")
        plan.check()


def _add_contender(tables: SqliteUtils, review_id: Any, position: int, entrant: Entrant) -> None:
    facts = json.dumps(dict(entrant.facts), ensure_ascii=False)
    row = {
        "review_id": review_id,
        "position": position,
        "name": entrant.name,
        "kind": entrant.kind,
        "facts": facts,
    }
    contender = tables.table("contenders").insert(row).last_pk
    prompts = (
        tables.query("SELECT id, data_row FROM prompts WHERE review_id = ?", [review_id])
        if entrant.responses
        else ()
    )
    answered = [
        (prompt["id"], entrant.responses[prompt["data_row"]])
        for prompt in prompts
        if prompt["data_row"] in entrant.responses
    ]
    said = {
        "contender_id": contender,
        "asked": "",
        "tokens": 0,
        "finish_reason": "imported",
        "created_at": now(),
    }
    tables.table("responses").insert_all(
        {**said, "prompt_id": prompt, "text": text} for prompt, text in answered
    )


def _turns(row: Row) -> list[Turn]:
    return [Turn(**turn) for turn in json.loads(row["turns"])]


def _prompt_row(review_id: Any, example: Example) -> Row:
    return {
        "review_id": review_id,
        "data_row": example.row,
        "turns": json.dumps([asdict(turn) for turn in example.prompt], ensure_ascii=False),
        "prompt": example.prompt_text,
        "category": example.category,
        "split": example.split or "",
        "expected": example.answer,
    }
