"""The tables of judging, as migrations. A released migration is never changed; a new one is added below it."""

from typing import Any

from sqlite_utils import Database, Migrations

review_tables = Migrations("review")

_REVIEWS = """
CREATE TABLE reviews (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,                    -- generating, ready, stopped, failed
    message TEXT NOT NULL DEFAULT '',
    content_hash TEXT NOT NULL REFERENCES datasets(content_hash),
    split TEXT NOT NULL,                    -- train, validation, test or all
    split_settings TEXT NOT NULL,           -- JSON: shares and seed
    sampling TEXT NOT NULL,                 -- JSON: temperature, top-k, top-p, longest answer, seed
    versions TEXT NOT NULL,                 -- JSON: library versions at generation
    side_seed TEXT NOT NULL,                -- decides sides and order together with reviewer and pair
    created_at TEXT NOT NULL
);
CREATE TABLE contenders (
    id INTEGER PRIMARY KEY,
    review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,              -- from 0, as listed when the review was made
    name TEXT NOT NULL,
    kind TEXT NOT NULL,                     -- model, expected
    facts TEXT NOT NULL,                    -- JSON: folder, base, style, run, step
    UNIQUE (review_id, name)
);
CREATE TABLE prompts (
    id INTEGER PRIMARY KEY,
    review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
    data_row INTEGER NOT NULL,              -- row of the dataset, from 1
    turns TEXT NOT NULL,                    -- JSON: [{role, text, input}]
    prompt TEXT NOT NULL,                   -- as a person reads it
    expected TEXT NOT NULL,
    UNIQUE (review_id, data_row)
);
CREATE TABLE responses (
    id INTEGER PRIMARY KEY,
    contender_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
    prompt_id INTEGER NOT NULL REFERENCES prompts(id) ON DELETE CASCADE,
    asked TEXT NOT NULL,                    -- the exact text the model was asked with
    text TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    finish_reason TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (contender_id, prompt_id)
);
CREATE TABLE pairs (
    id INTEGER PRIMARY KEY,
    review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
    prompt_id INTEGER NOT NULL REFERENCES prompts(id) ON DELETE CASCADE,
    first_response_id INTEGER NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
    second_response_id INTEGER NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
    UNIQUE (first_response_id, second_response_id)
);
CREATE INDEX pairs_by_review ON pairs(review_id);
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY,
    pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
    reviewer TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('a', 'b', 'tie', 'both_bad')),
    a_response_id INTEGER NOT NULL REFERENCES responses(id),   -- what this reviewer saw as A
    b_response_id INTEGER NOT NULL REFERENCES responses(id),
    winner_response_id INTEGER REFERENCES responses(id),       -- NULL for tie and both bad
    tags TEXT NOT NULL DEFAULT '[]',        -- JSON list
    comment TEXT NOT NULL DEFAULT '',
    correction TEXT NOT NULL DEFAULT '',
    rated_at TEXT NOT NULL,
    UNIQUE (pair_id, reviewer)
);
CREATE TABLE verdict_log (                  -- append-only: every rating, change and undo
    id INTEGER PRIMARY KEY,
    pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
    reviewer TEXT NOT NULL,
    action TEXT NOT NULL,                   -- rated, changed, undone
    verdict TEXT NOT NULL,
    tags TEXT NOT NULL,
    comment TEXT NOT NULL,
    correction TEXT NOT NULL,
    at TEXT NOT NULL
);
"""


@review_tables()
def m001_reviews(db: Database) -> Any:
    """Reviews, contenders, responses, pairs and verdicts."""
    for statement in _REVIEWS.split(";\n"):
        if statement.strip():
            db.execute(statement)


@review_tables()
def m002_marks(db: Database) -> Any:
    """Add what else a reviewer says: look at this again, and I know which is which."""
    for table in ("verdicts", "verdict_log"):
        for column in ("flagged", "knew"):
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
