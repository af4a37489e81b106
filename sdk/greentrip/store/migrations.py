"""The steps of the store's file from one version to the next: ordered, named, one transaction each."""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "0001_first",
        """
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE event (
            seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at REAL NOT NULL, monotonic REAL NOT NULL,
            boot TEXT NOT NULL, body TEXT NOT NULL);
        CREATE TABLE fix (
            seq INTEGER PRIMARY KEY, at REAL NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL,
            accuracy_m REAL, mock INTEGER NOT NULL);
        CREATE TABLE trip (
            id TEXT PRIMARY KEY, recorded_ms INTEGER NOT NULL, summary TEXT NOT NULL,
            salts BLOB NOT NULL, levels BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE receipt (
            id INTEGER PRIMARY KEY, jws TEXT NOT NULL, device TEXT NOT NULL, request_lines TEXT NOT NULL,
            answer_lines TEXT NOT NULL, at TEXT NOT NULL);
        CREATE TABLE queue (
            seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE REFERENCES trip (id), line BLOB NOT NULL,
            sha256 TEXT NOT NULL UNIQUE, state TEXT NOT NULL, prior TEXT, attempts INTEGER NOT NULL DEFAULT 0,
            lease TEXT, lease_until_ms INTEGER, ask_again_ms INTEGER, result_line BLOB,
            receipt INTEGER REFERENCES receipt (id));
        CREATE INDEX queue_state ON queue (state, seq);
        CREATE TABLE tally (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
        """,
    ),
    (
        "0002_likeness",
        """
        CREATE TABLE likeness (
            fingerprint TEXT NOT NULL, trip TEXT NOT NULL REFERENCES trip (id), PRIMARY KEY (fingerprint, trip)
        ) WITHOUT ROWID;
        """,
    ),
    (
        "0003_queue",
        """
        ALTER TABLE queue ADD COLUMN send_after_ms INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE queue ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE queue ADD COLUMN settled_ms INTEGER;
        ALTER TABLE queue ADD COLUMN why TEXT;
        UPDATE queue SET sent = 1 WHERE attempts > 0;
        UPDATE queue SET attempts = 0;
        ALTER TABLE event ADD COLUMN crc INTEGER;
        CREATE INDEX queue_receipt ON queue (receipt);
        CREATE TABLE erasure (
            trip TEXT PRIMARY KEY, asked_ms INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
        CREATE TABLE session (
            id TEXT PRIMARY KEY, boot TEXT NOT NULL, pid INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE sync_note (
            seq INTEGER PRIMARY KEY, at_hour_ms INTEGER NOT NULL, trigger TEXT NOT NULL, stop TEXT NOT NULL,
            requests INTEGER NOT NULL, waiting INTEGER NOT NULL, settled TEXT NOT NULL, problem TEXT NOT NULL);
        """,
    ),
)
