"""The tables, and the steps from every earlier layout to this one. `PRAGMA user_version` counts the steps taken.

An episode is one row, whoever speaks of it first: the serving pod that started it or the client that ends it. Rows are
clustered by (version, start), because a look reads one version's windows in order of start.
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

STEPS = (_INITIAL,)


class NewerDatabase(RuntimeError):
    """The file was written by a newer logbook."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest layout, all or nothing.

    Raises: NewerDatabase when a newer logbook wrote it: go back to that version, or restore a backup.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(STEPS):
        raise NewerDatabase(f"the database has layout {found}, this logbook knows up to {len(STEPS)}: upgrade it")
    for number, step in enumerate(STEPS[found:], start=found + 1):
        # executescript ends any open transaction, so BEGIN and COMMIT stand inside the script
        connection.executescript(f"BEGIN IMMEDIATE;{step};PRAGMA user_version = {number};COMMIT;")
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('id', ?)", [secrets.token_hex(8)])
    connection.commit()
