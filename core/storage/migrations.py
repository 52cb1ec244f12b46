"""The engine's tables, as migrations.

A released migration is never changed; a new one is added below it.
"""

from typing import Any

from sqlite_utils import Database, Migrations

engine_tables = Migrations("engine")

_RUNS = """
CREATE TABLE datasets (
    content_hash TEXT PRIMARY KEY,          -- SHA-256 of the file
    name TEXT NOT NULL,
    path TEXT NOT NULL,                     -- the workspace's own copy, relative to the workspace
    format TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    usable INTEGER NOT NULL,
    split_settings TEXT NOT NULL DEFAULT '{}',  -- JSON: shares and seed chosen for it; empty for the defaults
    used_at TEXT NOT NULL
);
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
);
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
CREATE TABLE answers (
    run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    data_row INTEGER NOT NULL,              -- row of the dataset, from 1
    prompt TEXT NOT NULL,
    expected TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (run_id, step, data_row)
) WITHOUT ROWID;
"""


@engine_tables()
def m001_runs(db: Database) -> Any:
    """Datasets, runs and what happened in them."""
    for statement in _RUNS.split(";\n"):
        if statement.strip():
            db.execute(statement)


@engine_tables()
def m002_wishes(db: Database) -> Any:
    """Add what people ask of the process that trains a run: '', pause or stop."""
    db.execute("ALTER TABLE runs ADD COLUMN wish TEXT NOT NULL DEFAULT ''")


@engine_tables()
def m003_notes(db: Database) -> Any:
    """Add what a user wants to remember of a run."""
    db.execute("ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''")


@engine_tables()
def m004_identity(db: Database) -> Any:
    """Add what tells a run's base model and tokenizer from others of their names: JSON, '' for a
    run that has not begun.
    """
    db.execute("ALTER TABLE runs ADD COLUMN identity TEXT NOT NULL DEFAULT ''")


@engine_tables()
def m005_requested_action(db: Database) -> Any:
    """Call what users ask of a training process what it is."""
    db.execute("ALTER TABLE runs RENAME COLUMN wish TO requested_action")


@engine_tables()
def m006_dataset_versions(db: Database) -> Any:
    """Let one file have several versions, each with what was done to its rows."""
    # the file's own hash: a version's is of the file and the recipe
    db.execute("ALTER TABLE datasets ADD COLUMN source_hash TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE datasets ADD COLUMN recipe TEXT NOT NULL DEFAULT '{}'")
    # the version it was made from, '' for a file as it is
    db.execute("ALTER TABLE datasets ADD COLUMN parent TEXT NOT NULL DEFAULT ''")
    db.execute("UPDATE datasets SET source_hash = content_hash")


@engine_tables()
def m007_conversations(db: Database) -> Any:
    """Keep conversations with models."""
    db.execute("""
        CREATE TABLE conversations (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            model TEXT NOT NULL,
            system TEXT NOT NULL,
            messages TEXT NOT NULL,                 -- JSON: [{role, text, model, tokens …}]
            created_at TEXT NOT NULL,
            changed_at TEXT NOT NULL
        )
    """)


@engine_tables()
def m008_evaluations(db: Database) -> Any:
    """Keep evaluations on benchmarks, their results, every sample and every answer."""
    db.execute("""
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
        )
    """)
    db.execute("""
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
        ) WITHOUT ROWID
    """)
    db.execute("""
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
        ) WITHOUT ROWID
    """)
    db.execute("""
        CREATE TABLE benchmark_answers (
            model TEXT NOT NULL,                    -- fingerprint of weights and tokenizer
            request BLOB NOT NULL,                  -- hash of its kind, texts and settings
            answer TEXT NOT NULL,                   -- JSON: log-probability and whether greedy, or a text
            PRIMARY KEY (model, request)
        ) WITHOUT ROWID
    """)


@engine_tables()
def m009_own_benchmarks(db: Database) -> Any:
    """Keep benchmarks that users made of their datasets."""
    db.execute("""
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
        )
    """)
