-- What became of the certificates of a blocked key, and incidents.

-- +goose Up
ALTER TABLE blocked_keys ADD COLUMN swept_at BIGINT; -- NULL: its certificates are not looked for yet
ALTER TABLE blocked_keys ADD COLUMN found INTEGER;
ALTER TABLE blocked_keys ADD COLUMN revoked INTEGER;

CREATE INDEX blocked_keys_unswept ON blocked_keys (blocked_at) WHERE swept_at IS NULL;

-- Certificates that must be revoked by a deadline.
CREATE TABLE incidents (
    id        BYTEA   NOT NULL PRIMARY KEY,
    reason    INTEGER NOT NULL,
    deadline  BIGINT  NOT NULL,
    comment   TEXT    NOT NULL,
    opened_at BIGINT  NOT NULL,
    opened_by TEXT    NOT NULL,
    closed_at BIGINT
);

CREATE TABLE incident_certificates (
    incident_id BYTEA NOT NULL,
    serial      BYTEA NOT NULL,
    PRIMARY KEY (incident_id, serial)
);
