"""The tables of judging, as migrations.

A released migration is never changed; a new one is added below it.
"""

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


# from 0 to below 1, of 53 random bits
_RANDOM_PLACE = "(random() & 0x1FFFFFFFFFFFFF) / 9007199254740992.0"
_ORDER = (
    # people who judge each pair; 0: everybody
    "ALTER TABLE reviews ADD COLUMN overlap INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE reviews ADD COLUMN pair_count INTEGER NOT NULL DEFAULT 0",
    # pairs that want a verdict
    "ALTER TABLE reviews ADD COLUMN open_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE reviews ADD COLUMN verdict_count INTEGER NOT NULL DEFAULT 0",
    # random, from 0 to 1: decides the order
    "ALTER TABLE pairs ADD COLUMN place REAL NOT NULL DEFAULT 0",
    "ALTER TABLE pairs ADD COLUMN verdict_count INTEGER NOT NULL DEFAULT 0",
    # 0 when as many have judged it as shall
    "ALTER TABLE pairs ADD COLUMN is_open INTEGER NOT NULL DEFAULT 1",
    """CREATE TABLE walks (
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        judged INTEGER NOT NULL DEFAULT 0,
        went REAL NOT NULL DEFAULT 0,           -- how far round the circle of places, from the reviewer's own beginning
        PRIMARY KEY (review_id, reviewer)
    ) WITHOUT ROWID""",
    """CREATE TABLE holds (                      -- pairs that are shown to somebody just now
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        until REAL NOT NULL,                    -- seconds since 1970
        PRIMARY KEY (pair_id, reviewer)
    ) WITHOUT ROWID""",
    (
        f"UPDATE pairs SET place = {_RANDOM_PLACE}, verdict_count = (SELECT count(*) FROM verdicts "
        "WHERE pair_id = pairs.id)"
    ),
    """UPDATE reviews SET pair_count = (SELECT count(*) FROM pairs WHERE review_id = reviews.id),
                          open_count = (SELECT count(*) FROM pairs WHERE review_id = reviews.id),
                          verdict_count = (SELECT coalesce(sum(verdict_count), 0) FROM pairs WHERE review_id = reviews.id)""",
    """INSERT INTO walks (review_id, reviewer, judged)
       SELECT review_id, reviewer, count(*) FROM verdicts JOIN pairs ON pairs.id = pair_id GROUP BY review_id, reviewer""",
    "CREATE INDEX open_pairs ON pairs(review_id, place) WHERE is_open = 1",
    "CREATE INDEX verdicts_by_reviewer ON verdicts(reviewer, rated_at)",
    f"""CREATE TRIGGER pair_added AFTER INSERT ON pairs BEGIN
        UPDATE pairs SET place = {_RANDOM_PLACE} WHERE id = NEW.id;
        UPDATE reviews SET pair_count = pair_count + 1, open_count = open_count + 1 WHERE id = NEW.review_id;
    END""",
    """CREATE TRIGGER verdict_added AFTER INSERT ON verdicts BEGIN
        UPDATE pairs SET verdict_count = verdict_count + 1 WHERE id = NEW.pair_id;
        UPDATE reviews SET verdict_count = verdict_count + 1 WHERE id = (SELECT review_id FROM pairs WHERE id = NEW.pair_id);
        INSERT INTO walks (review_id, reviewer, judged) SELECT review_id, NEW.reviewer, 1 FROM pairs WHERE id = NEW.pair_id
            ON CONFLICT (review_id, reviewer) DO UPDATE SET judged = judged + 1;
        DELETE FROM holds WHERE pair_id = NEW.pair_id AND reviewer = NEW.reviewer;
    END""",
    """CREATE TRIGGER verdict_removed AFTER DELETE ON verdicts BEGIN
        UPDATE pairs SET verdict_count = verdict_count - 1 WHERE id = OLD.pair_id;
        UPDATE reviews SET verdict_count = verdict_count - 1 WHERE id = (SELECT review_id FROM pairs WHERE id = OLD.pair_id);
        UPDATE walks SET judged = judged - 1
            WHERE review_id = (SELECT review_id FROM pairs WHERE id = OLD.pair_id) AND reviewer = OLD.reviewer;
    END""",
    """CREATE TRIGGER pair_counted AFTER UPDATE OF verdict_count ON pairs BEGIN
        UPDATE pairs SET is_open = (SELECT overlap = 0 OR NEW.verdict_count < overlap FROM reviews WHERE id = NEW.review_id)
            WHERE id = NEW.id;
        UPDATE reviews SET open_count = open_count + (SELECT is_open FROM pairs WHERE id = NEW.id) - OLD.is_open
            WHERE id = NEW.review_id;
    END""",
)


@review_tables()
def m003_order(db: Database) -> Any:
    """Add what the next pair is found by in constant time; triggers keep the counts, whoever writes
    a verdict.
    """
    for statement in _ORDER:
        db.execute(statement)


_SIDES = (
    *(
        f"ALTER TABLE {table} ADD COLUMN {side}_stars INTEGER"
        for table in ("verdicts", "verdict_log")
        for side in "ab"
    ),  # 1 to 5
    *(
        f"ALTER TABLE {table} ADD COLUMN {side}_tags TEXT NOT NULL DEFAULT '[]'"  # JSON list
        for table in ("verdicts", "verdict_log")
        for side in "ab"
    ),
    # every tag tells of a fault, so those of a pair go to the worse response, or to both where
    # neither is better
    *(
        f"UPDATE {table} SET {side}_tags = tags WHERE verdict <> '{side}'"
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
    # what reviewers judge by, shown beside every pair
    "ALTER TABLE reviews ADD COLUMN rubric TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE prompts ADD COLUMN category TEXT NOT NULL DEFAULT ''",  # as the dataset names it
)


@review_tables()
def m005_context(db: Database) -> Any:
    """Add what reviewers judge by, and what kind of prompt each is."""
    for statement in _CONTEXT:
        db.execute(statement)


_A_WON = "CASE {row}.verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END"
_COUNT = """
    INSERT INTO tallies (review_id, contender_id, against_id, score, verdicts)
    SELECT pairs.review_id, a.contender_id, b.contender_id, {sign} * {won}, {sign}
    FROM pairs, responses a, responses b
    WHERE pairs.id = {row}.pair_id AND a.id = {row}.a_response_id AND b.id = {row}.b_response_id
    ON CONFLICT DO UPDATE SET score = score + excluded.score, verdicts = verdicts + excluded.verdicts;
"""
_DIFFER = "count(DISTINCT coalesce(winner_response_id, verdict)) > 1"
_STARS = "CASE verdict WHEN 'stars' THEN a_stars END"
# four stars and five are the same opinion
_DIFFER_IN_STARS = f"coalesce(max({_STARS}) - min({_STARS}), 0) >= 2"
_DISPUTE = """
    UPDATE pairs SET is_disputed = (
        SELECT ({differ}) AND total(settles) = 0
        FROM verdicts WHERE pair_id = {row}.pair_id AND knew = 0
    ) WHERE id = {row}.pair_id;
"""

_RENDEZVOUS = """
    low_id = (SELECT min(contender_id) FROM responses WHERE id IN (first_response_id, second_response_id)),
    high_id = (SELECT max(contender_id) FROM responses WHERE id IN (first_response_id, second_response_id))
"""


def _counted(row: str, sign: int) -> str:
    return _COUNT.format(row=row, sign=sign, won=_A_WON.format(row=row))


def _keeping_count(differ: str) -> tuple[str, ...]:
    """Return the triggers that keep tallies and disagreements; verdicts disagree where ``differ``
    is true of them.
    """
    new, old = (_DISPUTE.format(row=row, differ=differ) for row in ("NEW", "OLD"))
    return (
        (
            f"CREATE TRIGGER verdict_tallied AFTER INSERT ON verdicts BEGIN {_counted('NEW', 1)} "
            f"{new} END"
        ),
        (
            "CREATE TRIGGER verdict_untallied AFTER DELETE ON verdicts BEGIN "
            f"{_counted('OLD', -1)} "
            f"{old} END"
        ),
        (
            "CREATE TRIGGER verdict_retallied AFTER UPDATE ON verdicts BEGIN "
            f"{_counted('OLD', -1)} "
            f"{_counted('NEW', 1)} {new} END"
        ),
    )


_TOGETHER = (
    # the two contenders that meet
    "ALTER TABLE pairs ADD COLUMN low_id INTEGER REFERENCES contenders(id)",
    "ALTER TABLE pairs ADD COLUMN high_id INTEGER REFERENCES contenders(id)",
    f"UPDATE pairs SET {_RENDEZVOUS}",
    (
        f"CREATE TRIGGER pair_met AFTER INSERT ON pairs BEGIN UPDATE pairs SET {_RENDEZVOUS} WHERE "
        "id = NEW.id; END"
    ),
    (
        "CREATE INDEX unrated_pairs ON pairs(review_id, low_id, high_id, place) WHERE "
        "verdict_count "
        "= 0 AND is_open = 1"
    ),
    """CREATE TABLE tallies (                    -- how often two met and how it went: what the next pair is chosen by
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        contender_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        against_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        score REAL NOT NULL,                    -- wins of the one and half of what is undecided
        verdicts INTEGER NOT NULL,
        PRIMARY KEY (review_id, contender_id, against_id)
    ) WITHOUT ROWID""",
    # a third verdict where others disagree
    "ALTER TABLE verdicts ADD COLUMN settles INTEGER NOT NULL DEFAULT 0",
    # verdicts differ and none settles them
    "ALTER TABLE pairs ADD COLUMN is_disputed INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX disputed_pairs ON pairs(review_id, place) WHERE is_disputed = 1",
    f"""INSERT INTO tallies SELECT pairs.review_id, a.contender_id, b.contender_id,
        sum({_A_WON.format(row="verdicts")}), count(*) FROM verdicts JOIN pairs ON pairs.id = pair_id
        JOIN responses a ON a.id = a_response_id JOIN responses b ON b.id = b_response_id GROUP BY 1, 2, 3""",
    """UPDATE pairs SET is_disputed = 1 WHERE verdict_count > 1 AND (SELECT count(DISTINCT coalesce(winner_response_id, verdict))
       FROM verdicts WHERE pair_id = pairs.id AND knew = 0) > 1""",
    *_keeping_count(_DIFFER),
    # percent of pairs that a reviewer is shown twice
    "ALTER TABLE reviews ADD COLUMN repeats REAL NOT NULL DEFAULT 0",
    """CREATE TABLE repeats (                    -- a pair judged for the second time, sides exchanged: never counted as a verdict
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('a', 'b', 'tie', 'both_bad')),
        winner_response_id INTEGER REFERENCES responses(id),
        rated_at TEXT NOT NULL,
        PRIMARY KEY (pair_id, reviewer)
    ) WITHOUT ROWID""",
)


@review_tables()
def m006_together(db: Database) -> Any:
    """Add what several reviewers need: what was judged by nobody, disagreements, repeats, and who
    met whom how often.
    """
    for statement in _TOGETHER:
        db.execute(statement)


_WIDER = "CHECK (verdict IN ('a', 'b', 'tie', 'both_bad', 'pass', 'fail', 'stars'))"
_NARROW = "CHECK (verdict IN ('a', 'b', 'tie', 'both_bad'))"


@review_tables()
def m007_singles(db: Database) -> Any:
    """Let single responses be judged: each is a pair with itself, passes or fails, or has stars.

    SQLite widens no check, so the table is made anew; nothing refers to it, and its triggers and
    indexes are made again.
    """
    # pairs, pass or stars
    db.execute("ALTER TABLE reviews ADD COLUMN answers TEXT NOT NULL DEFAULT 'pairs'")
    parts = db.query(
        "SELECT type, sql FROM sqlite_master WHERE tbl_name = 'verdicts' AND sql IS NOT NULL"
    )
    known = [(row["type"], row["sql"]) for row in parts]
    [table] = [sql for kind, sql in known if kind == "table"]
    db.execute(
        table.replace(_NARROW, _WIDER).replace(
            "CREATE TABLE verdicts", "CREATE TABLE verdicts_wider", 1
        )
    )
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
        "UPDATE prompts SET split = (SELECT split FROM reviews WHERE id = review_id AND split <> "
        "'all') WHERE review_id IN "
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


_BY_MEETING = (
    "DROP INDEX open_pairs",
    "CREATE INDEX open_meetings ON pairs(review_id, low_id, high_id, place) WHERE is_open = 1",
    "ALTER TABLE walks DROP COLUMN went",  # whoever is on the way looks from their beginning again
    """CREATE TABLE ways (
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        low_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        high_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        went REAL NOT NULL,                     -- how far round the circle of their pairs, from the reviewer's own beginning
        PRIMARY KEY (review_id, reviewer, low_id, high_id)
    ) WITHOUT ROWID""",
    *(f"DROP TRIGGER verdict_{name}" for name in ("tallied", "untallied", "retallied")),
    *_keeping_count(f"{_DIFFER} OR {_DIFFER_IN_STARS}"),
    f"""UPDATE pairs SET is_disputed = 1 WHERE verdict_count > 1 AND (SELECT ({_DIFFER_IN_STARS}) AND total(settles) = 0
       FROM verdicts WHERE pair_id = pairs.id AND knew = 0)""",
)


@review_tables()
def m010_by_meeting(db: Database) -> Any:
    """Let reviewers walk by who meets whom past what others have judged, and stars that differ be a
    disagreement.
    """
    for statement in _BY_MEETING:
        db.execute(statement)


@review_tables()
def m011_latest_first(db: Database) -> Any:
    """Find what a reviewer did last, second looks among it, and all that was said of one pair,
    without reading the whole log.
    """
    db.execute("CREATE INDEX verdict_log_by_reviewer ON verdict_log(reviewer)")
    db.execute("CREATE INDEX verdict_log_by_pair ON verdict_log(pair_id, reviewer)")
    # the log's last line at that time
    db.execute("ALTER TABLE repeats ADD COLUMN after_log INTEGER NOT NULL DEFAULT 0")
    db.execute(
        "UPDATE repeats SET after_log = (SELECT coalesce(max(id), 0) FROM verdict_log WHERE at "
        "<= repeats.rated_at)"
    )


_HONEST = (
    # whether reviewers may see the result
    "ALTER TABLE reviews ADD COLUMN shared INTEGER NOT NULL DEFAULT 0",
    # JSON: contenders that were trained on the prompt
    "ALTER TABLE prompts ADD COLUMN seen_by TEXT NOT NULL DEFAULT '[]'",
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
    """Add what is shared, what contenders have learnt and who is shown what again; no pair of equal
    responses is judged.
    """
    for statement in _HONEST:
        db.execute(statement)


# SQLite renames tables and columns in triggers, indexes and references too, but takes the word
# "excluded" of an upsert for the renamed table: triggers with one are dropped and made anew.
_COUNTED_VERDICT = """
    INSERT INTO matchup_counts (review_id, contender_id, against_id, score, verdicts)
    SELECT pairs.review_id, a.contender_id, b.contender_id,
           {sign} * CASE {row}.verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END, {sign}
    FROM pairs, responses a, responses b
    WHERE pairs.id = {row}.pair_id AND a.id = {row}.a_response_id AND b.id = {row}.b_response_id
    ON CONFLICT DO UPDATE
    SET score = score + excluded.score, verdicts = verdicts + excluded.verdicts;
"""
_NOTED_DISPUTE = """
    UPDATE pairs SET is_disputed = (
        SELECT (count(DISTINCT coalesce(winner_response_id, verdict)) > 1
                OR coalesce(max(CASE verdict WHEN 'stars' THEN a_stars END)
                            - min(CASE verdict WHEN 'stars' THEN a_stars END), 0) >= 2)
               AND total(adjudicates) = 0
        FROM verdicts WHERE pair_id = {row}.pair_id AND unblinded = 0
    ) WHERE id = {row}.pair_id;
"""
_ADDED, _REMOVED = (
    _COUNTED_VERDICT.format(row=row, sign=sign) for row, sign in (("NEW", 1), ("OLD", -1))
)
_DISPUTED_NOW, _DISPUTED_BEFORE = (_NOTED_DISPUTE.format(row=row) for row in ("NEW", "OLD"))
_RENAMED_TABLES = {
    "walks": "reviewer_progress",
    "ways": "reviewer_cursors",
    "holds": "reservations",
    "tallies": "matchup_counts",
    "repeats": "repeat_judgments",
}
_RENAMED_COLUMNS = (
    *((table, "knew", "unblinded") for table in ("verdicts", "verdict_log", "repeat_judgments")),
    ("verdicts", "settles", "adjudicates"),
    ("pairs", "low_id", "contender_low_id"),
    ("pairs", "high_id", "contender_high_id"),
    ("pairs", "place", "shuffle_key"),
    ("reviewer_cursors", "low_id", "contender_low_id"),
    ("reviewer_cursors", "high_id", "contender_high_id"),
    ("reviewer_cursors", "went", "cursor"),
    ("reviews", "answers", "response_mode"),
)
_FIELD_NAMES = (
    *(f"DROP TRIGGER verdict_{name}" for name in ("tallied", "untallied", "retallied", "added")),
    *(f"ALTER TABLE {old} RENAME TO {new}" for old, new in _RENAMED_TABLES.items()),
    *(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}" for table, old, new in _RENAMED_COLUMNS),
    """CREATE TRIGGER verdict_added AFTER INSERT ON verdicts BEGIN
        UPDATE pairs SET verdict_count = verdict_count + 1 WHERE id = NEW.pair_id;
        UPDATE reviews SET verdict_count = verdict_count + 1
            WHERE id = (SELECT review_id FROM pairs WHERE id = NEW.pair_id);
        INSERT INTO reviewer_progress (review_id, reviewer, judged)
            SELECT review_id, NEW.reviewer, 1 FROM pairs WHERE id = NEW.pair_id
            ON CONFLICT (review_id, reviewer) DO UPDATE SET judged = judged + 1;
        DELETE FROM reservations WHERE pair_id = NEW.pair_id AND reviewer = NEW.reviewer;
    END""",
    f"CREATE TRIGGER verdict_counted AFTER INSERT ON verdicts BEGIN {_ADDED} {_DISPUTED_NOW} END",
    f"""CREATE TRIGGER verdict_uncounted AFTER DELETE ON verdicts
        BEGIN {_REMOVED} {_DISPUTED_BEFORE} END""",
    f"""CREATE TRIGGER verdict_recounted AFTER UPDATE ON verdicts
        BEGIN {_REMOVED} {_ADDED} {_DISPUTED_NOW} END""",
    # what is asked of every pair: its prompt, and both responses with whose they are
    """CREATE VIEW pair_sides AS
        SELECT pairs.id AS pair_id, pairs.review_id, pairs.prompt_id, is_disputed, shuffle_key,
               data_row, turns, prompt, expected, category, prompts.split,
               first_response_id, one.contender_id AS first_contender_id,
               first.name AS first_contender, one.text AS first_text,
               second_response_id, two.contender_id AS second_contender_id,
               second.name AS second_contender, two.text AS second_text
        FROM pairs JOIN prompts ON prompts.id = pairs.prompt_id
        JOIN responses one ON one.id = first_response_id
        JOIN contenders first ON first.id = one.contender_id
        JOIN responses two ON two.id = second_response_id
        JOIN contenders second ON second.id = two.contender_id""",
    # the same of every verdict, the sides as its reviewer saw them
    """CREATE VIEW verdict_sides AS
        SELECT verdicts.*, pair_sides.review_id, prompt_id, data_row, turns, prompt, expected,
               category, split,
               CASE a_response_id WHEN first_response_id THEN first_contender
                                  ELSE second_contender END AS a_contender,
               CASE a_response_id WHEN first_response_id THEN first_text
                                  ELSE second_text END AS a_text,
               CASE b_response_id WHEN second_response_id THEN second_contender
                                  ELSE first_contender END AS b_contender,
               CASE b_response_id WHEN second_response_id THEN second_text
                                  ELSE first_text END AS b_text
        FROM verdicts JOIN pair_sides USING (pair_id)""",
)


@review_tables()
def m013_field_names(db: Database) -> Any:
    """Name tables and columns as the field does, and keep in views what every reader joins."""
    for statement in _FIELD_NAMES:
        db.execute(statement)


@review_tables()
def m014_provenance(db: Database) -> Any:
    """Keep beside each contender how its run was trained, as long as the run is there to be asked;
    it may be renamed or deleted.
    """
    db.execute(
        """UPDATE contenders SET facts = (
               SELECT json_set(contenders.facts, '$.run_id', runs.id,
                               '$.run_settings', json(runs.settings),
                               '$.run_versions', json(runs.versions),
                               '$.run_content_hash', runs.content_hash)
               FROM runs WHERE runs.name = json_extract(contenders.facts, '$.run'))
           WHERE kind = 'model' AND json_extract(facts, '$.run') IN (SELECT name FROM runs)"""
    )


_JUDGES = (
    """CREATE TABLE judges (
        id INTEGER PRIMARY KEY,
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        model TEXT NOT NULL,                    -- as the user named it
        protocol TEXT NOT NULL,                 -- pairwise, alpaca, score or rubric
        digest TEXT NOT NULL,                   -- of the way it is asked
        template TEXT NOT NULL,
        criteria TEXT NOT NULL,                 -- JSON
        facts TEXT NOT NULL,                    -- JSON: fingerprint or address
        created_at TEXT NOT NULL,
        UNIQUE (review_id, model, digest)
    )""",
    """CREATE TABLE judge_comparisons (             -- judgements of pairs; no verdicts
        judge_id INTEGER NOT NULL REFERENCES judges(id) ON DELETE CASCADE,
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        is_turned INTEGER NOT NULL,             -- whether the second response stood first
        choice TEXT NOT NULL,                   -- first, second, tie, or error where it cannot be read
        preference REAL,                        -- for the second response, 0 to 1
        said TEXT NOT NULL,
        judged_at TEXT NOT NULL,
        PRIMARY KEY (judge_id, pair_id, is_turned)
    ) WITHOUT ROWID""",
    """CREATE TABLE judge_scores (                  -- judgements of single responses
        judge_id INTEGER NOT NULL REFERENCES judges(id) ON DELETE CASCADE,
        response_id INTEGER NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
        score REAL,                             -- of the protocol's scale; NULL where it cannot be read
        levels TEXT NOT NULL,                   -- JSON: of each criterion
        said TEXT NOT NULL,
        judged_at TEXT NOT NULL,
        PRIMARY KEY (judge_id, response_id)
    ) WITHOUT ROWID""",
)


@review_tables()
def m015_judges(db: Database) -> Any:
    """Keep what models as judges say, apart from people's verdicts."""
    for statement in _JUDGES:
        db.execute(statement)


_ARENA = (
    """CREATE TABLE arena (                         -- one row: what battles are drawn from
        id INTEGER PRIMARY KEY CHECK (id = 1),
        models TEXT NOT NULL,                   -- JSON: as the owner named them
        sampling TEXT NOT NULL,                 -- JSON
        shared INTEGER NOT NULL                 -- whether reviewers who signed in may battle
    )""",
    """CREATE TABLE arena_battles (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,               -- by which the page knows it; it tells nothing
        person TEXT NOT NULL,
        model_a TEXT NOT NULL,                  -- as it was shown, on the left
        model_b TEXT NOT NULL,
        facts TEXT NOT NULL,                    -- JSON: fingerprints or addresses, and the sampling
        verdict TEXT NOT NULL,                  -- a, b, tie or both_bad; '' before it is given
        leak TEXT NOT NULL,                     -- words by which a reply names a model: not counted
        source TEXT NOT NULL,                   -- the file that it came from; '' for battles fought here
        created_at TEXT NOT NULL,
        voted_at TEXT NOT NULL
    )""",
    """CREATE TABLE arena_turns (
        battle_id INTEGER NOT NULL REFERENCES arena_battles(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        prompt TEXT NOT NULL,
        response_a TEXT NOT NULL,
        response_b TEXT NOT NULL,
        PRIMARY KEY (battle_id, number)
    ) WITHOUT ROWID""",
    "CREATE INDEX arena_battles_by_verdict ON arena_battles (verdict)",
)


@review_tables()
def m016_arena(db: Database) -> Any:
    """Keep battles: a person's own prompt, two models that they do not know, a verdict."""
    for statement in _ARENA:
        db.execute(statement)
