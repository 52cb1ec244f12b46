"""What the sixth migration runs, counts that triggers keep, whoever writes a verdict; and the tenth, which mends two of them.

Knows no migration.
"""

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
_DIFFER_IN_STARS = f"coalesce(max({_STARS}) - min({_STARS}), 0) >= 2"  # four stars and five are the same opinion
_DISPUTE = """
    UPDATE pairs SET is_disputed = (
        SELECT ({differ}) AND total(settles) = 0
        FROM verdicts WHERE pair_id = {row}.pair_id AND knew = 0
    ) WHERE id = {row}.pair_id;
"""

_MEETING = """
    low_id = (SELECT min(contender_id) FROM responses WHERE id IN (first_response_id, second_response_id)),
    high_id = (SELECT max(contender_id) FROM responses WHERE id IN (first_response_id, second_response_id))
"""


def _counted(row: str, sign: int) -> str:
    return _COUNT.format(row=row, sign=sign, won=_A_WON.format(row=row))


def _keeping_count(differ: str) -> tuple[str, ...]:
    """Return the triggers that keep tallies and disagreements; verdicts disagree where ``differ`` is true of them."""
    new, old = (_DISPUTE.format(row=row, differ=differ) for row in ("NEW", "OLD"))
    return (
        f"CREATE TRIGGER verdict_tallied AFTER INSERT ON verdicts BEGIN {_counted('NEW', 1)} {new} END",
        f"CREATE TRIGGER verdict_untallied AFTER DELETE ON verdicts BEGIN {_counted('OLD', -1)} {old} END",
        f"CREATE TRIGGER verdict_retallied AFTER UPDATE ON verdicts BEGIN {_counted('OLD', -1)} {_counted('NEW', 1)} {new} END",
    )


TOGETHER = (
    "ALTER TABLE pairs ADD COLUMN low_id INTEGER REFERENCES contenders(id)",  # the two contenders that meet
    "ALTER TABLE pairs ADD COLUMN high_id INTEGER REFERENCES contenders(id)",
    f"UPDATE pairs SET {_MEETING}",  # noqa: S608 - our words
    f"CREATE TRIGGER pair_met AFTER INSERT ON pairs BEGIN UPDATE pairs SET {_MEETING} WHERE id = NEW.id; END",  # noqa: S608
    "CREATE INDEX unrated_pairs ON pairs(review_id, low_id, high_id, place) WHERE verdict_count = 0 AND is_open = 1",
    """CREATE TABLE tallies (                    -- how often two met and how it went: what the next pair is chosen by
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        contender_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        against_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        score REAL NOT NULL,                    -- wins of the one and half of what is undecided
        verdicts INTEGER NOT NULL,
        PRIMARY KEY (review_id, contender_id, against_id)
    ) WITHOUT ROWID""",
    "ALTER TABLE verdicts ADD COLUMN settles INTEGER NOT NULL DEFAULT 0",  # a third verdict where others disagree
    "ALTER TABLE pairs ADD COLUMN is_disputed INTEGER NOT NULL DEFAULT 0",  # verdicts differ and none settles them
    "CREATE INDEX disputed_pairs ON pairs(review_id, place) WHERE is_disputed = 1",
    f"""INSERT INTO tallies SELECT pairs.review_id, a.contender_id, b.contender_id,
        sum({_A_WON.format(row="verdicts")}), count(*) FROM verdicts JOIN pairs ON pairs.id = pair_id
        JOIN responses a ON a.id = a_response_id JOIN responses b ON b.id = b_response_id GROUP BY 1, 2, 3""",  # noqa: S608
    """UPDATE pairs SET is_disputed = 1 WHERE verdict_count > 1 AND (SELECT count(DISTINCT coalesce(winner_response_id, verdict))
       FROM verdicts WHERE pair_id = pairs.id AND knew = 0) > 1""",
    *_keeping_count(_DIFFER),
    "ALTER TABLE reviews ADD COLUMN repeats REAL NOT NULL DEFAULT 0",  # percent of pairs that a reviewer is shown twice
    """CREATE TABLE repeats (                    -- a pair judged for the second time, sides exchanged: never counted as a verdict
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('a', 'b', 'tie', 'both_bad')),
        winner_response_id INTEGER REFERENCES responses(id),
        rated_at TEXT NOT NULL,
        PRIMARY KEY (pair_id, reviewer)
    ) WITHOUT ROWID""",
)

BY_MEETING = (
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
       FROM verdicts WHERE pair_id = pairs.id AND knew = 0)""",  # noqa: S608 - our words
)
