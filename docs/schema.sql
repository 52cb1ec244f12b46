-- Written by docs/write_schema.py; a test compares it.

CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);

CREATE TABLE answers (
    run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    data_row INTEGER NOT NULL,              -- row of the dataset, from 1
    prompt TEXT NOT NULL,
    expected TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (run_id, step, data_row)
) WITHOUT ROWID;

CREATE TABLE arena (                         -- one row: what battles are drawn from
        id INTEGER PRIMARY KEY CHECK (id = 1),
        models TEXT NOT NULL,                   -- JSON: as the owner named them
        sampling TEXT NOT NULL,                 -- JSON
        shared INTEGER NOT NULL                 -- whether reviewers who signed in may battle
    );

CREATE TABLE arena_battles (
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
    );

CREATE TABLE arena_turns (
        battle_id INTEGER NOT NULL REFERENCES arena_battles(id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        prompt TEXT NOT NULL,
        response_a TEXT NOT NULL,
        response_b TEXT NOT NULL,
        PRIMARY KEY (battle_id, number)
    ) WITHOUT ROWID;

CREATE TABLE benchmark_answers (
            model TEXT NOT NULL,                    -- fingerprint of weights and tokenizer
            request BLOB NOT NULL,                  -- hash of its kind, texts and settings
            answer TEXT NOT NULL,                   -- JSON: log-probability and whether greedy, or a text
            PRIMARY KEY (model, request)
        ) WITHOUT ROWID;

CREATE TABLE contenders (
    id INTEGER PRIMARY KEY,
    review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,              -- from 0, as listed when the review was made
    name TEXT NOT NULL,
    kind TEXT NOT NULL,                     -- model, expected
    facts TEXT NOT NULL,                    -- JSON: folder, base, style, run, step
    UNIQUE (review_id, name)
);

CREATE TABLE conversations (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            model TEXT NOT NULL,
            system TEXT NOT NULL,
            messages TEXT NOT NULL,                 -- JSON: [{role, text, model, tokens …}]
            created_at TEXT NOT NULL,
            changed_at TEXT NOT NULL
        );

CREATE TABLE datasets (
    content_hash TEXT PRIMARY KEY,          -- SHA-256 of the file
    name TEXT NOT NULL,
    path TEXT NOT NULL,                     -- the workspace's own copy, relative to the workspace
    format TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    usable INTEGER NOT NULL,
    split_settings TEXT NOT NULL DEFAULT '{}',  -- JSON: shares and seed chosen for it; empty for the defaults
    used_at TEXT NOT NULL
, source_hash TEXT NOT NULL DEFAULT '', recipe TEXT NOT NULL DEFAULT '{}', parent TEXT NOT NULL DEFAULT '');

CREATE TABLE evaluation_results (
            evaluation_id INTEGER NOT NULL REFERENCES evaluations(id) ON DELETE CASCADE,
            model TEXT NOT NULL,
            task TEXT NOT NULL,                     -- a task, or a group of them
            is_group INTEGER NOT NULL,
            metric TEXT NOT NULL,                   -- the one that stands for the task; '' where it failed
            value REAL,
            stderr REAL,
            questions INTEGER NOT NULL,
            metrics TEXT NOT NULL,                  -- JSON: all metrics, as lm-eval names them
            facts TEXT NOT NULL,                    -- JSON: task version, examples shown, notes, seconds
            fingerprint TEXT NOT NULL,              -- of the model's weights and tokenizer
            message TEXT NOT NULL,                  -- why there is no result, '' where there is one
            PRIMARY KEY (evaluation_id, model, task)
        ) WITHOUT ROWID;

CREATE TABLE evaluation_samples (
            evaluation_id INTEGER NOT NULL REFERENCES evaluations(id) ON DELETE CASCADE,
            model TEXT NOT NULL,
            task TEXT NOT NULL,
            question INTEGER NOT NULL,              -- its place in the task's data, from 0
            filter TEXT NOT NULL,                   -- lm-eval's, by which an answer was read
            score REAL,                             -- by the metric that stands for the task
            seen INTEGER NOT NULL,                  -- whether it stands in the rows that the model was trained on
            cluster TEXT NOT NULL,                  -- what it shares with other questions, as a passage; '' for nothing
            prompt TEXT NOT NULL,
            answer TEXT NOT NULL,                   -- what the model said or chose
            gold TEXT NOT NULL,
            sample TEXT NOT NULL,                   -- JSON: the rest of lm-eval's sample
            PRIMARY KEY (evaluation_id, model, task, question, filter)
        ) WITHOUT ROWID;

CREATE TABLE evaluations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given anew: files are named by it
            name TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL,                    -- queued, running, finished, stopped, failed, interrupted
            models TEXT NOT NULL,                   -- JSON: names as the user gave them
            tasks TEXT NOT NULL,                    -- JSON: names of tasks, groups and suites
            settings TEXT NOT NULL,                 -- JSON: data folder, examples, limit, template …
            versions TEXT NOT NULL,                 -- JSON: library versions
            created_at TEXT NOT NULL,
            finished_at TEXT,
            elapsed_s REAL NOT NULL DEFAULT 0,
            message TEXT NOT NULL DEFAULT '',       -- why it ended
            requested_action TEXT NOT NULL DEFAULT ''   -- "" or stop
        );

CREATE TABLE judge_comparisons (             -- judgements of pairs; no verdicts
        judge_id INTEGER NOT NULL REFERENCES judges(id) ON DELETE CASCADE,
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        is_turned INTEGER NOT NULL,             -- whether the second response stood first
        choice TEXT NOT NULL,                   -- first, second, tie, or error where it cannot be read
        preference REAL,                        -- for the second response, 0 to 1
        said TEXT NOT NULL,
        judged_at TEXT NOT NULL,
        PRIMARY KEY (judge_id, pair_id, is_turned)
    ) WITHOUT ROWID;

CREATE TABLE judge_scores (                  -- judgements of single responses
        judge_id INTEGER NOT NULL REFERENCES judges(id) ON DELETE CASCADE,
        response_id INTEGER NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
        score REAL,                             -- of the protocol's scale; NULL where it cannot be read
        levels TEXT NOT NULL,                   -- JSON: of each criterion
        said TEXT NOT NULL,
        judged_at TEXT NOT NULL,
        PRIMARY KEY (judge_id, response_id)
    ) WITHOUT ROWID;

CREATE TABLE judges (
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
    );

CREATE TABLE "matchup_counts" (                    -- how often two met and how it went: what the next pair is chosen by
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        contender_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        against_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        score REAL NOT NULL,                    -- wins of the one and half of what is undecided
        verdicts INTEGER NOT NULL,
        PRIMARY KEY (review_id, contender_id, against_id)
    ) WITHOUT ROWID;

CREATE TABLE metrics (
    run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    kind TEXT NOT NULL,                     -- train, validation
    step INTEGER NOT NULL,
    epoch REAL NOT NULL,
    loss REAL NOT NULL,                     -- nats per trained token
    learning_rate REAL,
    gradient_norm REAL,
    seen_tokens INTEGER,                    -- real tokens since step 0
    tokens_per_s REAL,
    peak_memory_mib REAL,
    elapsed_s REAL NOT NULL,
    PRIMARY KEY (run_id, kind, step)
) WITHOUT ROWID;

CREATE TABLE offered_repeats (            -- pairs that are shown to a reviewer for the second time just now
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        PRIMARY KEY (pair_id, reviewer)
    ) WITHOUT ROWID;

CREATE TABLE own_benchmarks (
            name TEXT PRIMARY KEY,
            content_hash TEXT NOT NULL,             -- of the dataset's version
            split TEXT NOT NULL,                    -- train, validation or test; '' for all rows
            check_name TEXT NOT NULL,               -- exact, contains, f1, …, python
            pattern TEXT NOT NULL,
            code TEXT NOT NULL,
            max_new_tokens INTEGER NOT NULL,
            after_runs INTEGER NOT NULL,            -- whether it is asked of every finished run
            created_at TEXT NOT NULL
        );

CREATE TABLE pairs (
    id INTEGER PRIMARY KEY,
    review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
    prompt_id INTEGER NOT NULL REFERENCES prompts(id) ON DELETE CASCADE,
    first_response_id INTEGER NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
    second_response_id INTEGER NOT NULL REFERENCES responses(id) ON DELETE CASCADE, shuffle_key REAL NOT NULL DEFAULT 0, verdict_count INTEGER NOT NULL DEFAULT 0, is_open INTEGER NOT NULL DEFAULT 1, contender_low_id INTEGER REFERENCES contenders(id), contender_high_id INTEGER REFERENCES contenders(id), is_disputed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (first_response_id, second_response_id)
);

CREATE TABLE prompts (
    id INTEGER PRIMARY KEY,
    review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
    data_row INTEGER NOT NULL,              -- row of the dataset, from 1
    turns TEXT NOT NULL,                    -- JSON: [{role, text, input}]
    prompt TEXT NOT NULL,                   -- as a person reads it
    expected TEXT NOT NULL, category TEXT NOT NULL DEFAULT '', split TEXT NOT NULL DEFAULT '', seen_by TEXT NOT NULL DEFAULT '[]',
    UNIQUE (review_id, data_row)
);

CREATE TABLE "repeat_judgments" (                    -- a pair judged for the second time, sides exchanged: never counted as a verdict
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('a', 'b', 'tie', 'both_bad')),
        winner_response_id INTEGER REFERENCES responses(id),
        rated_at TEXT NOT NULL, a_stars INTEGER, b_stars INTEGER, a_tags TEXT NOT NULL DEFAULT '[]', b_tags TEXT NOT NULL DEFAULT '[]', comment TEXT NOT NULL DEFAULT '', correction TEXT NOT NULL DEFAULT '', flagged INTEGER NOT NULL DEFAULT 0, unblinded INTEGER NOT NULL DEFAULT 0, after_log INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (pair_id, reviewer)
    ) WITHOUT ROWID;

CREATE TABLE "reservations" (                      -- pairs that are shown to somebody just now
        pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        until REAL NOT NULL,                    -- seconds since 1970
        PRIMARY KEY (pair_id, reviewer)
    ) WITHOUT ROWID;

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

CREATE TABLE "reviewer_cursors" (
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        contender_low_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        contender_high_id INTEGER NOT NULL REFERENCES contenders(id) ON DELETE CASCADE,
        cursor REAL NOT NULL,                     -- how far round the circle of their pairs, from the reviewer's own beginning
        PRIMARY KEY (review_id, reviewer, contender_low_id, contender_high_id)
    ) WITHOUT ROWID;

CREATE TABLE "reviewer_progress" (
        review_id INTEGER NOT NULL REFERENCES reviews(id) ON DELETE CASCADE,
        reviewer TEXT NOT NULL,
        judged INTEGER NOT NULL DEFAULT 0,           -- how far round the circle of places, from the reviewer's own beginning
        PRIMARY KEY (review_id, reviewer)
    ) WITHOUT ROWID;

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
, overlap INTEGER NOT NULL DEFAULT 0, pair_count INTEGER NOT NULL DEFAULT 0, open_count INTEGER NOT NULL DEFAULT 0, verdict_count INTEGER NOT NULL DEFAULT 0, rubric_name TEXT NOT NULL DEFAULT '', rubric TEXT NOT NULL DEFAULT '', repeats REAL NOT NULL DEFAULT 0, response_mode TEXT NOT NULL DEFAULT 'pairs', shared INTEGER NOT NULL DEFAULT 0);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,                    -- queued, running, finished, stopped, failed, interrupted
    content_hash TEXT NOT NULL REFERENCES datasets(content_hash),
    settings TEXT NOT NULL,                 -- JSON: every setting, the split's too
    versions TEXT NOT NULL,                 -- JSON: library versions
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    step INTEGER NOT NULL DEFAULT 0,
    total_steps INTEGER,
    steps_per_epoch INTEGER,
    trained_parameters INTEGER,
    all_parameters INTEGER,
    base_loss REAL,                         -- validation loss before step 1
    best_loss REAL,
    best_step INTEGER,
    elapsed_s REAL NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT ''        -- why it ended
, requested_action TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', identity TEXT NOT NULL DEFAULT '');

CREATE TABLE sqlite_sequence(name,seq);

CREATE TABLE verdict_log (                  -- append-only: every rating, change and undo
    id INTEGER PRIMARY KEY,
    pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
    reviewer TEXT NOT NULL,
    action TEXT NOT NULL,                   -- rated, changed, undone
    verdict TEXT NOT NULL,
    comment TEXT NOT NULL,
    correction TEXT NOT NULL,
    at TEXT NOT NULL
, flagged INTEGER NOT NULL DEFAULT 0, unblinded INTEGER NOT NULL DEFAULT 0, a_stars INTEGER, b_stars INTEGER, a_tags TEXT NOT NULL DEFAULT '[]', b_tags TEXT NOT NULL DEFAULT '[]');

CREATE TABLE "verdicts" (
    id INTEGER PRIMARY KEY,
    pair_id INTEGER NOT NULL REFERENCES pairs(id) ON DELETE CASCADE,
    reviewer TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('a', 'b', 'tie', 'both_bad', 'pass', 'fail', 'stars')),
    a_response_id INTEGER NOT NULL REFERENCES responses(id),   -- what this reviewer saw as A
    b_response_id INTEGER NOT NULL REFERENCES responses(id),
    winner_response_id INTEGER REFERENCES responses(id),       -- NULL for tie and both bad
    comment TEXT NOT NULL DEFAULT '',
    correction TEXT NOT NULL DEFAULT '',
    rated_at TEXT NOT NULL, flagged INTEGER NOT NULL DEFAULT 0, unblinded INTEGER NOT NULL DEFAULT 0, a_stars INTEGER, b_stars INTEGER, a_tags TEXT NOT NULL DEFAULT '[]', b_tags TEXT NOT NULL DEFAULT '[]', adjudicates INTEGER NOT NULL DEFAULT 0,
    UNIQUE (pair_id, reviewer)
);

CREATE VIEW pair_sides AS
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
        JOIN contenders second ON second.id = two.contender_id;

CREATE VIEW verdict_sides AS
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
        FROM verdicts JOIN pair_sides USING (pair_id);

CREATE INDEX arena_battles_by_verdict ON arena_battles (verdict);

CREATE INDEX disputed_pairs ON pairs(review_id, shuffle_key) WHERE is_disputed = 1;

CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");

CREATE INDEX open_meetings ON pairs(review_id, contender_low_id, contender_high_id, shuffle_key) WHERE is_open = 1;

CREATE INDEX pairs_by_review ON pairs(review_id);

CREATE INDEX unrated_pairs ON pairs(review_id, contender_low_id, contender_high_id, shuffle_key) WHERE verdict_count = 0 AND is_open = 1;

CREATE INDEX verdict_log_by_pair ON verdict_log(pair_id, reviewer);

CREATE INDEX verdict_log_by_reviewer ON verdict_log(reviewer);

CREATE INDEX verdicts_by_reviewer ON verdicts(reviewer, rated_at);

CREATE TRIGGER pair_added AFTER INSERT ON pairs BEGIN
        UPDATE pairs SET shuffle_key = (random() & 0x1FFFFFFFFFFFFF) / 9007199254740992.0 WHERE id = NEW.id;
        UPDATE reviews SET pair_count = pair_count + 1, open_count = open_count + 1 WHERE id = NEW.review_id;
    END;

CREATE TRIGGER pair_counted AFTER UPDATE OF verdict_count ON pairs BEGIN
        UPDATE pairs SET is_open = (SELECT overlap = 0 OR NEW.verdict_count < overlap FROM reviews WHERE id = NEW.review_id)
            WHERE id = NEW.id;
        UPDATE reviews SET open_count = open_count + (SELECT is_open FROM pairs WHERE id = NEW.id) - OLD.is_open
            WHERE id = NEW.review_id;
    END;

CREATE TRIGGER pair_met AFTER INSERT ON pairs BEGIN UPDATE pairs SET 
    contender_low_id = (SELECT min(contender_id) FROM responses WHERE id IN (first_response_id, second_response_id)),
    contender_high_id = (SELECT max(contender_id) FROM responses WHERE id IN (first_response_id, second_response_id))
 WHERE id = NEW.id; END;

CREATE TRIGGER verdict_added AFTER INSERT ON verdicts BEGIN
        UPDATE pairs SET verdict_count = verdict_count + 1 WHERE id = NEW.pair_id;
        UPDATE reviews SET verdict_count = verdict_count + 1
            WHERE id = (SELECT review_id FROM pairs WHERE id = NEW.pair_id);
        INSERT INTO reviewer_progress (review_id, reviewer, judged)
            SELECT review_id, NEW.reviewer, 1 FROM pairs WHERE id = NEW.pair_id
            ON CONFLICT (review_id, reviewer) DO UPDATE SET judged = judged + 1;
        DELETE FROM reservations WHERE pair_id = NEW.pair_id AND reviewer = NEW.reviewer;
    END;

CREATE TRIGGER verdict_counted AFTER INSERT ON verdicts BEGIN 
    INSERT INTO matchup_counts (review_id, contender_id, against_id, score, verdicts)
    SELECT pairs.review_id, a.contender_id, b.contender_id,
           1 * CASE NEW.verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END, 1
    FROM pairs, responses a, responses b
    WHERE pairs.id = NEW.pair_id AND a.id = NEW.a_response_id AND b.id = NEW.b_response_id
    ON CONFLICT DO UPDATE
    SET score = score + excluded.score, verdicts = verdicts + excluded.verdicts;
 
    UPDATE pairs SET is_disputed = (
        SELECT (count(DISTINCT coalesce(winner_response_id, verdict)) > 1
                OR coalesce(max(CASE verdict WHEN 'stars' THEN a_stars END)
                            - min(CASE verdict WHEN 'stars' THEN a_stars END), 0) >= 2)
               AND total(adjudicates) = 0
        FROM verdicts WHERE pair_id = NEW.pair_id AND unblinded = 0
    ) WHERE id = NEW.pair_id;
 END;

CREATE TRIGGER verdict_recounted AFTER UPDATE ON verdicts
        BEGIN 
    INSERT INTO matchup_counts (review_id, contender_id, against_id, score, verdicts)
    SELECT pairs.review_id, a.contender_id, b.contender_id,
           -1 * CASE OLD.verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END, -1
    FROM pairs, responses a, responses b
    WHERE pairs.id = OLD.pair_id AND a.id = OLD.a_response_id AND b.id = OLD.b_response_id
    ON CONFLICT DO UPDATE
    SET score = score + excluded.score, verdicts = verdicts + excluded.verdicts;
 
    INSERT INTO matchup_counts (review_id, contender_id, against_id, score, verdicts)
    SELECT pairs.review_id, a.contender_id, b.contender_id,
           1 * CASE NEW.verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END, 1
    FROM pairs, responses a, responses b
    WHERE pairs.id = NEW.pair_id AND a.id = NEW.a_response_id AND b.id = NEW.b_response_id
    ON CONFLICT DO UPDATE
    SET score = score + excluded.score, verdicts = verdicts + excluded.verdicts;
 
    UPDATE pairs SET is_disputed = (
        SELECT (count(DISTINCT coalesce(winner_response_id, verdict)) > 1
                OR coalesce(max(CASE verdict WHEN 'stars' THEN a_stars END)
                            - min(CASE verdict WHEN 'stars' THEN a_stars END), 0) >= 2)
               AND total(adjudicates) = 0
        FROM verdicts WHERE pair_id = NEW.pair_id AND unblinded = 0
    ) WHERE id = NEW.pair_id;
 END;

CREATE TRIGGER verdict_removed AFTER DELETE ON verdicts BEGIN
        UPDATE pairs SET verdict_count = verdict_count - 1 WHERE id = OLD.pair_id;
        UPDATE reviews SET verdict_count = verdict_count - 1 WHERE id = (SELECT review_id FROM pairs WHERE id = OLD.pair_id);
        UPDATE "reviewer_progress" SET judged = judged - 1
            WHERE review_id = (SELECT review_id FROM pairs WHERE id = OLD.pair_id) AND reviewer = OLD.reviewer;
    END;

CREATE TRIGGER verdict_uncounted AFTER DELETE ON verdicts
        BEGIN 
    INSERT INTO matchup_counts (review_id, contender_id, against_id, score, verdicts)
    SELECT pairs.review_id, a.contender_id, b.contender_id,
           -1 * CASE OLD.verdict WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END, -1
    FROM pairs, responses a, responses b
    WHERE pairs.id = OLD.pair_id AND a.id = OLD.a_response_id AND b.id = OLD.b_response_id
    ON CONFLICT DO UPDATE
    SET score = score + excluded.score, verdicts = verdicts + excluded.verdicts;
 
    UPDATE pairs SET is_disputed = (
        SELECT (count(DISTINCT coalesce(winner_response_id, verdict)) > 1
                OR coalesce(max(CASE verdict WHEN 'stars' THEN a_stars END)
                            - min(CASE verdict WHEN 'stars' THEN a_stars END), 0) >= 2)
               AND total(adjudicates) = 0
        FROM verdicts WHERE pair_id = OLD.pair_id AND unblinded = 0
    ) WHERE id = OLD.pair_id;
 END;
