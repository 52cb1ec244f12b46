"""The tables of judging, as migrations. A released migration is never changed; a new one is added below it."""

from typing import Any

from sqlite_utils import Database, Migrations

from review.store.schema_order import ORDER
from review.store.schema_together import BY_MEETING, TOGETHER

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


@review_tables()
def m003_order(db: Database) -> Any:
    """Add what the next pair is found by in constant time; triggers keep the counts, whoever writes a verdict."""
    for statement in ORDER:
        db.execute(statement)


_SIDES = (
    *(f"ALTER TABLE {table} ADD COLUMN {side}_stars INTEGER" for table in ("verdicts", "verdict_log") for side in "ab"),  # 1 to 5
    *(
        f"ALTER TABLE {table} ADD COLUMN {side}_tags TEXT NOT NULL DEFAULT '[]'"  # JSON list
        for table in ("verdicts", "verdict_log")
        for side in "ab"
    ),
    # every tag tells of a fault, so those of a pair go to the worse response, or to both where neither is better
    *(
        f"UPDATE {table} SET {side}_tags = tags WHERE verdict <> '{side}'"  # noqa: S608 - our words
        for table in ("verdicts", "verdict_log")
        for side in "ab"
    ),
    *(f"ALTER TABLE {table} DROP COLUMN tags" for table in ("verdicts", "verdict_log")),
)


@review_tables()
def m004_sides(db: Database) -> Any:
    """Let stars and tags belong to one response of a pair."""
    for statement in _SIDES:
        db.execute(statement)


_CONTEXT = (
    "ALTER TABLE reviews ADD COLUMN rubric_name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE reviews ADD COLUMN rubric TEXT NOT NULL DEFAULT ''",  # what reviewers judge by, shown beside every pair
    "ALTER TABLE prompts ADD COLUMN category TEXT NOT NULL DEFAULT ''",  # as the dataset names it
)


@review_tables()
def m005_context(db: Database) -> Any:
    """Add what reviewers judge by, and what kind of prompt each is."""
    for statement in _CONTEXT:
        db.execute(statement)


@review_tables()
def m006_together(db: Database) -> Any:
    """Add what several reviewers need: what was judged by nobody, disagreements, repeats, and who met whom how often."""
    for statement in TOGETHER:
        db.execute(statement)


_WIDER = "CHECK (verdict IN ('a', 'b', 'tie', 'both_bad', 'pass', 'fail', 'stars'))"
_NARROW = "CHECK (verdict IN ('a', 'b', 'tie', 'both_bad'))"


@review_tables()
def m007_singles(db: Database) -> Any:
    """Let single responses be judged: each is a pair with itself, passes or fails, or has stars.

    SQLite widens no check, so the table is made anew; nothing refers to it, and its triggers and indexes are made again.
    """
    db.execute("ALTER TABLE reviews ADD COLUMN answers TEXT NOT NULL DEFAULT 'pairs'")  # pairs, pass or stars
    parts = db.query("SELECT type, sql FROM sqlite_master WHERE tbl_name = 'verdicts' AND sql IS NOT NULL")
    known = [(row["type"], row["sql"]) for row in parts]
    [table] = [sql for kind, sql in known if kind == "table"]
    db.execute(table.replace(_NARROW, _WIDER).replace("CREATE TABLE verdicts", "CREATE TABLE verdicts_wider", 1))
    db.execute("INSERT INTO verdicts_wider SELECT * FROM verdicts")
    db.execute("DROP TABLE verdicts")
    db.execute("ALTER TABLE verdicts_wider RENAME TO verdicts")
    for kind, sql in known:
        if kind != "table":
            db.execute(sql)


@review_tables()
def m008_splits(db: Database) -> Any:
    """Add which split each prompt is of, so that learnt rows can be told from those that were not."""
    db.execute("ALTER TABLE prompts ADD COLUMN split TEXT NOT NULL DEFAULT ''")
    db.execute(
        "UPDATE prompts SET split = (SELECT split FROM reviews WHERE id = review_id AND split <> 'all') WHERE review_id IN "
        "(SELECT id FROM reviews WHERE split <> 'all')"
    )


@review_tables()
def m009_second_looks(db: Database) -> Any:
    """Keep all that is said of a pair seen again: the reviewer cannot tell that it is one."""
    for column in (
        "a_stars INTEGER",
        "b_stars INTEGER",
        "a_tags TEXT NOT NULL DEFAULT '[]'",
        "b_tags TEXT NOT NULL DEFAULT '[]'",
    ):
        db.execute(f"ALTER TABLE repeats ADD COLUMN {column}")
    for column in ("comment TEXT NOT NULL DEFAULT ''", "correction TEXT NOT NULL DEFAULT ''"):
        db.execute(f"ALTER TABLE repeats ADD COLUMN {column}")
    for column in ("flagged", "knew"):
        db.execute(f"ALTER TABLE repeats ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")


@review_tables()
def m010_by_meeting(db: Database) -> Any:
    """Let reviewers walk by who meets whom past what others have judged, and stars that differ be a disagreement."""
    for statement in BY_MEETING:
        db.execute(statement)


@review_tables()
def m011_latest_first(db: Database) -> Any:
    """Find what a reviewer did last, second looks among it, and all that was said of one pair, without reading the whole log."""
    db.execute("CREATE INDEX verdict_log_by_reviewer ON verdict_log(reviewer)")
    db.execute("CREATE INDEX verdict_log_by_pair ON verdict_log(pair_id, reviewer)")
    db.execute("ALTER TABLE repeats ADD COLUMN after_log INTEGER NOT NULL DEFAULT 0")  # the log's last line at that time
    db.execute("UPDATE repeats SET after_log = (SELECT coalesce(max(id), 0) FROM verdict_log WHERE at <= repeats.rated_at)")


_HONEST = (
    "ALTER TABLE reviews ADD COLUMN shared INTEGER NOT NULL DEFAULT 0",  # whether reviewers may see the result
    "ALTER TABLE prompts ADD COLUMN seen_by TEXT NOT NULL DEFAULT '[]'",  # JSON: contenders that were trained on the prompt
    """CREATE TABLE offered_repeats (            -- pairs that are shown to a reviewer for the second time just now
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        PRIMARY KEY (pair_id, reviewer)
    ) WITHOUT ROWID""",
    # two responses of the same words can only tie: nobody is asked about them any more
    """DELETE FROM pairs WHERE verdict_count = 0 AND first_response_id <> second_response_id AND
       (SELECT trim(text, char(9, 10, 13, 32)) FROM responses WHERE id = first_response_id)
       = (SELECT trim(text, char(9, 10, 13, 32)) FROM responses WHERE id = second_response_id)""",
    """UPDATE reviews SET pair_count = (SELECT count(*) FROM pairs WHERE review_id = reviews.id),
                          open_count = (SELECT count(*) FROM pairs WHERE review_id = reviews.id AND is_open = 1)""",
)


@review_tables()
def m012_honest(db: Database) -> Any:
    """Add what is shared, what contenders have learnt and who is shown what again; no pair of equal responses is judged."""
    for statement in _HONEST:
        db.execute(statement)
