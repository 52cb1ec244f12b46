"""What the third migration runs: a random place for every pair, and counts that triggers keep. Knows no migration."""

_RANDOM_PLACE = "(random() & 0x1FFFFFFFFFFFFF) / 9007199254740992.0"  # from 0 to below 1, of 53 random bits
ORDER = (
    "ALTER TABLE reviews ADD COLUMN overlap INTEGER NOT NULL DEFAULT 0",  # people who judge each pair; 0: everybody
    "ALTER TABLE reviews ADD COLUMN pair_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE reviews ADD COLUMN open_count INTEGER NOT NULL DEFAULT 0",  # pairs that want a verdict
    "ALTER TABLE reviews ADD COLUMN verdict_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE pairs ADD COLUMN place REAL NOT NULL DEFAULT 0",  # random, from 0 to 1: decides the order
    "ALTER TABLE pairs ADD COLUMN verdict_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE pairs ADD COLUMN is_open INTEGER NOT NULL DEFAULT 1",  # 0 when as many have judged it as shall
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
    f"UPDATE pairs SET place = {_RANDOM_PLACE}, verdict_count = (SELECT count(*) FROM verdicts WHERE pair_id = pairs.id)",  # noqa: S608
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
    END""",  # noqa: S608
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
