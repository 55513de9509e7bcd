"""The tables, and the steps from every earlier layout to this one. `PRAGMA user_version` counts the steps taken.

An episode is one row, whoever speaks of it first: the serving pod that started it or the client that ends it. A row of
`version` is a policy version as one rollout serves it. Episodes are clustered by (version, start), because a look reads
one version's windows of one rollout in order of start.
"""

import secrets
import sqlite3

STANDARD_OUTCOMES = ("return", "length", "violations", "success")  # a column each; others live in `custom`

_INITIAL = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE version (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (namespace, name));
CREATE TABLE episode (
    version INTEGER NOT NULL REFERENCES version (id),
    started_ms INTEGER NOT NULL,   -- serving pod's clock, from the receipt
    name TEXT NOT NULL,            -- id the client chose
    reported_ms INTEGER,           -- logbook's clock at the first report; NULL: none yet
    moved INTEGER NOT NULL DEFAULT 0,
    "return" REAL, length REAL, violations REAL, success REAL,
    custom TEXT,                   -- JSON object of the other outcomes; NULL: none
    PRIMARY KEY (version, started_ms, name)) WITHOUT ROWID;
CREATE UNIQUE INDEX episode_once ON episode (version, name);
CREATE TABLE progress (
    namespace TEXT NOT NULL, uid TEXT NOT NULL, idx INTEGER NOT NULL,
    attempt INTEGER NOT NULL, step INTEGER NOT NULL,
    seq INTEGER NOT NULL,          -- grows with every change: the cursor
    body TEXT NOT NULL,            -- wire.RunProgressRecord as JSON
    PRIMARY KEY (namespace, uid, idx)) WITHOUT ROWID;
CREATE UNIQUE INDEX progress_seq ON progress (seq);
CREATE TABLE blob (                -- who may read which bytes: a namespace that uploaded them itself
    namespace TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (namespace, sha256)) WITHOUT ROWID;
CREATE INDEX blob_sha256 ON blob (sha256);
CREATE TABLE checkpoint (
    namespace TEXT NOT NULL, uid TEXT NOT NULL, idx INTEGER NOT NULL, step INTEGER NOT NULL,
    sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (namespace, uid, idx, step)) WITHOUT ROWID;
CREATE INDEX checkpoint_sha256 ON checkpoint (namespace, sha256);
CREATE TABLE artifact_file (       -- blobs that an uploaded artifact manifest names: never collected as checkpoints
    namespace TEXT NOT NULL, sha256 TEXT NOT NULL, manifest TEXT NOT NULL,
    PRIMARY KEY (namespace, sha256, manifest)) WITHOUT ROWID;
"""

# What sealed.py keeps; all of it can be computed again from `episode`. Triggers, so that nothing can write to an
# episode and leave standing what holds it. Only rows that change fire them, not an episode that is told of again.
_SEALED = """
CREATE TABLE question (
    id INTEGER PRIMARY KEY, version INTEGER NOT NULL REFERENCES version (id),
    outcome TEXT NOT NULL, window_ms INTEGER NOT NULL, grace_ms INTEGER NOT NULL,
    piece_ms INTEGER NOT NULL,
    sealed_ms INTEGER NOT NULL DEFAULT 0,  -- nothing that is kept for the question reaches beyond
    UNIQUE (version, outcome, window_ms, grace_ms));
CREATE TABLE sealed_window (
    question INTEGER NOT NULL REFERENCES question (id) ON DELETE CASCADE, start_ms INTEGER NOT NULL,
    wire BLOB NOT NULL, moved INTEGER NOT NULL, longest_ms INTEGER,
    PRIMARY KEY (question, start_ms)) WITHOUT ROWID;
CREATE TABLE sealed_piece (
    question INTEGER NOT NULL REFERENCES question (id) ON DELETE CASCADE, start_ms INTEGER NOT NULL,
    tally TEXT NOT NULL,           -- tally.Tally
    PRIMARY KEY (question, start_ms)) WITHOUT ROWID;
"""

_DROPS_WINDOWS = """
    DELETE FROM sealed_window WHERE (question, start_ms) IN (
        SELECT id, NEW.started_ms - NEW.started_ms % window_ms FROM question WHERE version = NEW.version);
    DELETE FROM sealed_piece WHERE (question, start_ms) IN (
        SELECT id, NEW.started_ms - NEW.started_ms % window_ms % piece_ms FROM question WHERE version = NEW.version);"""
_DROPS_CHAPTERS = """
    DELETE FROM sealed_chapter WHERE (question, start_ms) IN (
        SELECT id, NEW.started_ms - NEW.started_ms % chapter_ms FROM question WHERE version = NEW.version);"""


def _triggers(drops: str) -> str:
    """Return the triggers by which a write to an episode drops what holds it."""
    return "".join(
        f"""
CREATE TRIGGER episode_{event.lower()} AFTER {event} ON episode
WHEN EXISTS (SELECT 1 FROM question WHERE version = NEW.version AND sealed_ms > NEW.started_ms) BEGIN{drops}
END;
"""
        for event in ("INSERT", "UPDATE")
    )


# Evidence belongs to a rollout. SQLite cannot change a UNIQUE, so the table is made anew under the same ids. Whole
# windows are put together again from their pieces by the next look.
_ROLLOUTS = """
CREATE TABLE version_of_rollout (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL,
    rollout TEXT NOT NULL,         -- '': the requests came through no rollout's route
    UNIQUE (namespace, name, rollout));
INSERT INTO version_of_rollout SELECT id, namespace, name, '' FROM version;
DROP TABLE version;
ALTER TABLE version_of_rollout RENAME TO version;
DROP TABLE sealed_window;
CREATE TABLE sealed_window (
    question INTEGER NOT NULL REFERENCES question (id) ON DELETE CASCADE,
    start_ms INTEGER NOT NULL,     -- of the window by the clock
    first_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,  -- of what is kept: the window, or what cuts left of it
    part INTEGER NOT NULL,         -- 1: what cuts left of it
    wire BLOB NOT NULL, moved INTEGER NOT NULL, longest_ms INTEGER,
    tally TEXT NOT NULL,           -- tally.Tally
    PRIMARY KEY (question, start_ms, first_ms, end_ms)) WITHOUT ROWID;
CREATE INDEX sealed_part ON sealed_window (question, first_ms) WHERE part = 1;
"""

# With windows of a minute a look of a week would read ten thousand rows: whole chapters of them are kept as well.
_CHAPTERS = """
CREATE TABLE sealed_chapter (
    question INTEGER NOT NULL REFERENCES question (id) ON DELETE CASCADE,
    start_ms INTEGER NOT NULL,     -- of its first window
    wire BLOB NOT NULL, moved INTEGER NOT NULL, longest_ms INTEGER,  -- as in sealed_window, of all its windows
    PRIMARY KEY (question, start_ms)) WITHOUT ROWID;
ALTER TABLE question ADD COLUMN chapter_ms INTEGER NOT NULL DEFAULT 0;
UPDATE question SET chapter_ms = 64 * window_ms;
DROP TRIGGER episode_insert;
DROP TRIGGER episode_update;
""" + _triggers(_DROPS_WINDOWS + _DROPS_CHAPTERS)

# What a critic said of the first observation. One number, for a look reads it of every row: the critic and its level.
_FORESEEN = """
CREATE TABLE baseline (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE);
ALTER TABLE episode ADD COLUMN foreseen INTEGER;  -- baseline.id times 5 plus the level, from the receipt; NULL: nothing
"""

# What heartbeats told over time; curves.py says which of it is kept.
_CURVES = """
CREATE TABLE training (            -- one RLTrainingJob
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, uid TEXT NOT NULL, UNIQUE (namespace, uid));
CREATE TABLE life (                -- one pod's part in the training of one seed; a later one has a higher id
    id INTEGER PRIMARY KEY,
    training INTEGER NOT NULL REFERENCES training (id) ON DELETE CASCADE, idx INTEGER NOT NULL,
    name TEXT NOT NULL,            -- what the pod chose
    resumed_from INTEGER,          -- timestep of its checkpoint; NULL: it began at 0
    UNIQUE (training, idx, name));
CREATE TABLE metric (
    id INTEGER PRIMARY KEY,
    training INTEGER NOT NULL REFERENCES training (id) ON DELETE CASCADE, name TEXT NOT NULL,
    UNIQUE (training, name));
CREATE TABLE point (
    training INTEGER NOT NULL REFERENCES training (id) ON DELETE CASCADE, idx INTEGER NOT NULL,
    evaluated INTEGER NOT NULL,    -- 1: what an evaluation gave, 0: what a heartbeat told
    step INTEGER NOT NULL,
    life INTEGER NOT NULL,         -- life.id
    at_ms INTEGER NOT NULL,        -- logbook's clock
    numbers TEXT NOT NULL,         -- JSON object, metric.id to number
    PRIMARY KEY (training, idx, evaluated, step)) WITHOUT ROWID;
ALTER TABLE progress ADD COLUMN life INTEGER NOT NULL DEFAULT 0;  -- 0: of an earlier layout
"""

# Whose checkpoints are closed to pods without a key, see jobs.py.
_KEYED_JOBS = """
CREATE TABLE keyed_job (namespace TEXT NOT NULL, uid TEXT NOT NULL, PRIMARY KEY (namespace, uid)) WITHOUT ROWID;
CREATE INDEX artifact_manifest ON artifact_file (namespace, manifest);
"""

# What searches tell, line by line; journals.py says more.
_JOURNALS = """
CREATE TABLE journal (
    namespace TEXT NOT NULL, uid TEXT NOT NULL, number INTEGER NOT NULL,
    append TEXT NOT NULL,          -- what the caller named these lines: sent twice, kept once
    line TEXT NOT NULL,
    PRIMARY KEY (namespace, uid, number)) WITHOUT ROWID;
CREATE INDEX journal_append ON journal (namespace, uid, append);
"""

# An outcome that shows after the first report: each has the time it was told at.
_LATER = """
ALTER TABLE episode ADD COLUMN later TEXT;  -- JSON: outcome to [logbook's clock, value]; NULL: none
"""

# Steps of rollouts in which a version decides beside another and answers nobody; shadows.py says what is kept.
_SHADOWS = """
CREATE TABLE shadow (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, rollout TEXT NOT NULL, step TEXT NOT NULL,
    candidate TEXT NOT NULL,
    told_ms INTEGER NOT NULL,      -- logbook's clock at the last decision
    depth INTEGER NOT NULL DEFAULT 0,  -- ids less deep than this are not kept
    kept INTEGER NOT NULL DEFAULT 0,   -- decisions
    unnamed INTEGER NOT NULL DEFAULT 0,  -- decisions about requests without an id
    UNIQUE (namespace, rollout, step, candidate));
CREATE TABLE shadow_decision (
    shadow INTEGER NOT NULL REFERENCES shadow (id) ON DELETE CASCADE,
    request TEXT NOT NULL,         -- the gateway's id
    item INTEGER NOT NULL,         -- place in the request's list
    version TEXT NOT NULL,
    arrived_ms INTEGER NOT NULL, depth INTEGER NOT NULL,
    body TEXT NOT NULL,            -- of wire.ShadowDecision as JSON
    PRIMARY KEY (shadow, version, request, item)) WITHOUT ROWID;
CREATE INDEX shadow_told ON shadow (told_ms);
"""

# Whose episode it is, as its rollout knows her (episodes.py), and when she began the one before. Kept true by triggers:
# one that is told late is put in between, and the one after it is told so. In order of (start, version, name), for two
# may begin in one millisecond.
_USERS = """
ALTER TABLE episode ADD COLUMN user INTEGER;       -- NULL: nobody said
ALTER TABLE episode ADD COLUMN before_ms INTEGER;  -- start of her last episode before this one; NULL: it is her first
CREATE INDEX episode_user ON episode (user, started_ms) WHERE user IS NOT NULL;
CREATE TRIGGER episode_of_user AFTER INSERT ON episode WHEN NEW.user IS NOT NULL BEGIN
    UPDATE episode SET before_ms = (
        SELECT MAX(started_ms) FROM episode
        WHERE user = NEW.user AND (started_ms, version, name) < (NEW.started_ms, NEW.version, NEW.name))
    WHERE (version, started_ms, name) = (NEW.version, NEW.started_ms, NEW.name);
    UPDATE episode SET before_ms = NEW.started_ms
    WHERE (version, started_ms, name) IN (
        SELECT version, started_ms, name FROM episode
        WHERE user = NEW.user AND (started_ms, version, name) > (NEW.started_ms, NEW.version, NEW.name)
        ORDER BY started_ms, version, name LIMIT 1);
END;
CREATE TABLE question_of_users (
    id INTEGER PRIMARY KEY, version INTEGER NOT NULL REFERENCES version (id),
    outcome TEXT NOT NULL, window_ms INTEGER NOT NULL, grace_ms INTEGER NOT NULL,
    users_since_ms INTEGER NOT NULL,  -- only the first episode of each user since then counts; -1: each episode does
    piece_ms INTEGER NOT NULL, chapter_ms INTEGER NOT NULL,
    sealed_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (version, outcome, window_ms, grace_ms, users_since_ms));
INSERT INTO question_of_users
    SELECT id, version, outcome, window_ms, grace_ms, -1, piece_ms, chapter_ms, sealed_ms FROM question;
DROP TRIGGER episode_insert;
DROP TRIGGER episode_update;
DROP TABLE question;
ALTER TABLE question_of_users RENAME TO question;
""" + _triggers(_DROPS_WINDOWS + _DROPS_CHAPTERS)

STEPS = (
    _INITIAL,
    _SEALED + _triggers(_DROPS_WINDOWS),
    _ROLLOUTS,
    _CHAPTERS,
    _FORESEEN,
    _CURVES,
    _KEYED_JOBS,
    _JOURNALS,
    _LATER,
    _SHADOWS,
    _USERS,
)


class NewerDatabase(RuntimeError):
    """The file was written by a newer logbook."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest layout, all or nothing.

    Raises: NewerDatabase when a newer logbook wrote it: go back to that version, or restore a backup.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(STEPS):
        raise NewerDatabase(f"the database has layout {found}, this logbook knows up to {len(STEPS)}: upgrade it")
    connection.execute("PRAGMA foreign_keys = OFF")  # a table is made anew under those that refer to it
    for number, step in enumerate(STEPS[found:], start=found + 1):
        # executescript ends any open transaction, so BEGIN and COMMIT stand inside the script
        connection.executescript(f"BEGIN IMMEDIATE;{step};PRAGMA user_version = {number};COMMIT;")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('id', ?)", [secrets.token_hex(8)])
    connection.commit()
