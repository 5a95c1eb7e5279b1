-- Times are microseconds since 1970 in UTC; identifiers and serials are their
-- octets. There are no foreign keys: each reference is made in the transaction
-- that checks its target, and expired rows are dropped in bulk.
--
-- Tables of short rows are WITHOUT ROWID (one b-tree, in the order of the
-- key). Those of long rows are not: an index b-tree holds whole rows in its
-- inner pages too, which makes it deep, and sends rows of over 1,000 bytes to
-- pages of their own.

-- +goose Up
CREATE TABLE accounts (
    id                       BLOB    NOT NULL PRIMARY KEY,
    directory                TEXT    NOT NULL,
    status                   TEXT    NOT NULL,
    thumbprint               TEXT    NOT NULL, -- of jwk, RFC 7638
    jwk                      TEXT    NOT NULL,
    contacts                 TEXT,             -- JSON list
    terms_of_service         TEXT,
    external_account_binding TEXT,
    external_key_id          TEXT,
    created_at               INTEGER NOT NULL,
    UNIQUE (directory, thumbprint)
) STRICT;

-- An order's status is not stored, it follows: invalid with an error, past
-- its expiry, or when an authorization failed; valid or processing with a
-- certificate that is signed or not; ready when each authorization is valid.
CREATE TABLE orders (
    id          BLOB    NOT NULL PRIMARY KEY,
    account_id  BLOB    NOT NULL,
    profile     TEXT    NOT NULL,
    identifiers TEXT    NOT NULL, -- JSON list of type:value
    expires     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    not_before  INTEGER,
    not_after   INTEGER,
    replaces    TEXT,
    error       TEXT,             -- JSON problem
    certificate BLOB              -- serial
) STRICT, WITHOUT ROWID;

CREATE INDEX orders_account ON orders (account_id, id);

CREATE TABLE order_authorizations (
    order_id         BLOB    NOT NULL,
    position         INTEGER NOT NULL,
    authorization_id BLOB    NOT NULL,
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE authorizations (
    id                 BLOB    NOT NULL PRIMARY KEY,
    account_id         BLOB    NOT NULL,
    identifier         TEXT    NOT NULL, -- type:value, with *. for a wildcard
    status             TEXT    NOT NULL, -- pending and valid end at expires
    expires            INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    seed               BLOB    NOT NULL,
    offered            TEXT    NOT NULL, -- challenge types, comma between
    attempt_type       TEXT,             -- NULL: no challenge was attempted
    attempt_started_at INTEGER,
    attempt_response   BLOB,
    key_thumbprint     TEXT,
    tries              INTEGER NOT NULL,
    next_try           INTEGER,
    validated_at       INTEGER,
    error              TEXT,             -- JSON problem
    evidence           TEXT,             -- JSON, without the CAA decision
    caa                TEXT,             -- JSON: the CAA decision
    lease_owner        TEXT,
    lease_until        INTEGER           -- NULL: no work is left to do
) STRICT;

CREATE INDEX authorizations_account_identifier ON authorizations (account_id, identifier);
CREATE INDEX authorizations_lease ON authorizations (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE certificates (
    serial      BLOB    NOT NULL PRIMARY KEY,
    issuer      BLOB    NOT NULL,
    account_id  BLOB,             -- NULL: the CA's own
    order_id    BLOB,             -- NULL: the CA's own
    profile     TEXT    NOT NULL,
    crl_shard   INTEGER NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    lease_owner TEXT,
    lease_until INTEGER,          -- NULL: signed, or given up
    tbs         BLOB,             -- NULL once der is there
    der         BLOB
) STRICT;

CREATE INDEX certificates_lease ON certificates (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE revocations (
    issuer      BLOB    NOT NULL,
    crl_shard   INTEGER NOT NULL,
    serial      BLOB    NOT NULL,
    revoked_at  INTEGER NOT NULL,
    reason      INTEGER NOT NULL,
    not_after   INTEGER NOT NULL, -- of the certificate
    revoked_by  TEXT    NOT NULL,
    recorded_at INTEGER NOT NULL, -- or changed
    PRIMARY KEY (issuer, crl_shard, serial)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_recorded_at ON revocations (issuer, crl_shard, recorded_at);

CREATE TABLE crls (
    issuer      BLOB    NOT NULL,
    crl_shard   INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    der         BLOB    NOT NULL,
    PRIMARY KEY (issuer, crl_shard)
) STRICT;

CREATE TABLE issuers (
    id        BLOB NOT NULL PRIMARY KEY,
    responder BLOB -- DER
) STRICT;

CREATE TABLE issuer_certificates (
    issuer   BLOB    NOT NULL,
    chain    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    der      BLOB    NOT NULL,
    PRIMARY KEY (issuer, chain, position)
) STRICT;

CREATE TABLE blocked_keys (
    spki_sha256 BLOB    NOT NULL PRIMARY KEY,
    blocked_at  INTEGER NOT NULL,
    blocked_by  TEXT    NOT NULL,
    comment     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    held_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
