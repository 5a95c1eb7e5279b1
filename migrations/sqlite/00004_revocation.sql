-- What became of the certificates of a blocked key, and incidents.

-- +goose Up
ALTER TABLE blocked_keys ADD COLUMN swept_at INTEGER; -- NULL: its certificates are not looked for yet
ALTER TABLE blocked_keys ADD COLUMN found INTEGER;
ALTER TABLE blocked_keys ADD COLUMN revoked INTEGER;

CREATE INDEX blocked_keys_unswept ON blocked_keys (blocked_at) WHERE swept_at IS NULL;

-- Certificates that must be revoked by a deadline.
CREATE TABLE incidents (
    id        BLOB    NOT NULL PRIMARY KEY,
    reason    INTEGER NOT NULL,
    deadline  INTEGER NOT NULL,
    comment   TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    opened_by TEXT    NOT NULL,
    closed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE incident_certificates (
    incident_id BLOB NOT NULL,
    serial      BLOB NOT NULL,
    PRIMARY KEY (incident_id, serial)
) STRICT, WITHOUT ROWID;
