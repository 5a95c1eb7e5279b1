-- Times are microseconds since 1970 in UTC; identifiers and serials are their
-- octets. There are no foreign keys: each reference is made in the transaction
-- that checks its target, and expired rows are dropped in bulk.

-- +goose Up
CREATE TABLE accounts (
    id                       BYTEA   NOT NULL PRIMARY KEY,
    directory                TEXT    NOT NULL,
    status                   TEXT    NOT NULL,
    thumbprint               TEXT    NOT NULL, -- of jwk, RFC 7638
    jwk                      TEXT    NOT NULL,
    contacts                 TEXT,             -- JSON list
    terms_of_service         TEXT,
    external_account_binding TEXT,
    external_key_id          TEXT,
    created_at               BIGINT  NOT NULL,
    UNIQUE (directory, thumbprint)
);

-- An order's status is not stored, it follows: invalid with an error, past
-- its expiry, or when an authorization failed; valid or processing with a
-- certificate that is signed or not; ready when each authorization is valid.
CREATE TABLE orders (
    id          BYTEA   NOT NULL PRIMARY KEY,
    account_id  BYTEA   NOT NULL,
    profile     TEXT    NOT NULL,
    identifiers TEXT    NOT NULL, -- JSON list of type:value
    expires     BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    not_before  BIGINT,
    not_after   BIGINT,
    replaces    TEXT,
    error       TEXT,             -- JSON problem
    certificate BYTEA             -- serial
);

CREATE INDEX orders_account ON orders (account_id, id);

CREATE TABLE order_authorizations (
    order_id         BYTEA   NOT NULL,
    position         INTEGER NOT NULL,
    authorization_id BYTEA   NOT NULL,
    PRIMARY KEY (order_id, position)
);

CREATE TABLE authorizations (
    id                 BYTEA   NOT NULL PRIMARY KEY,
    account_id         BYTEA   NOT NULL,
    identifier         TEXT    NOT NULL, -- type:value, with *. for a wildcard
    status             TEXT    NOT NULL, -- pending and valid end at expires
    expires            BIGINT  NOT NULL,
    created_at         BIGINT  NOT NULL,
    seed               BYTEA   NOT NULL,
    offered            TEXT    NOT NULL, -- challenge types, comma between
    attempt_type       TEXT,             -- NULL: no challenge was attempted
    attempt_started_at BIGINT,
    attempt_response   BYTEA,
    key_thumbprint     TEXT,
    tries              INTEGER NOT NULL,
    next_try           BIGINT,
    validated_at       BIGINT,
    error              TEXT,             -- JSON problem
    evidence           TEXT,             -- JSON, without the CAA decision
    caa                TEXT,             -- JSON: the CAA decision
    lease_owner        TEXT,
    lease_until        BIGINT            -- NULL: no work is left to do
);

CREATE INDEX authorizations_account_identifier ON authorizations (account_id, identifier);
CREATE INDEX authorizations_lease ON authorizations (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE certificates (
    serial      BYTEA   NOT NULL PRIMARY KEY,
    issuer      BYTEA   NOT NULL,
    account_id  BYTEA,            -- NULL: the CA's own
    order_id    BYTEA,            -- NULL: the CA's own
    profile     TEXT    NOT NULL,
    crl_shard   INTEGER NOT NULL,
    not_before  BIGINT  NOT NULL,
    not_after   BIGINT  NOT NULL,
    recorded_at BIGINT  NOT NULL,
    lease_owner TEXT,
    lease_until BIGINT,           -- NULL: signed, or given up
    tbs         BYTEA,            -- NULL once der is there
    der         BYTEA
);

CREATE INDEX certificates_lease ON certificates (lease_until) WHERE lease_until IS NOT NULL;

CREATE TABLE revocations (
    issuer      BYTEA   NOT NULL,
    crl_shard   INTEGER NOT NULL,
    serial      BYTEA   NOT NULL,
    revoked_at  BIGINT  NOT NULL,
    reason      INTEGER NOT NULL,
    not_after   BIGINT  NOT NULL, -- of the certificate
    revoked_by  TEXT    NOT NULL,
    recorded_at BIGINT  NOT NULL, -- or changed
    PRIMARY KEY (issuer, crl_shard, serial)
);

CREATE INDEX revocations_recorded_at ON revocations (issuer, crl_shard, recorded_at);

CREATE TABLE crls (
    issuer      BYTEA   NOT NULL,
    crl_shard   INTEGER NOT NULL,
    number      BIGINT  NOT NULL,
    this_update BIGINT  NOT NULL,
    next_update BIGINT  NOT NULL,
    der         BYTEA   NOT NULL,
    PRIMARY KEY (issuer, crl_shard)
);

CREATE TABLE issuers (
    id        BYTEA   NOT NULL PRIMARY KEY,
    responder BYTEA             -- DER
);

CREATE TABLE issuer_certificates (
    issuer   BYTEA   NOT NULL,
    chain    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    der      BYTEA   NOT NULL,
    PRIMARY KEY (issuer, chain, position)
);

CREATE TABLE blocked_keys (
    spki_sha256 BYTEA   NOT NULL PRIMARY KEY,
    blocked_at  BIGINT  NOT NULL,
    blocked_by  TEXT    NOT NULL,
    comment     TEXT    NOT NULL
);

CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    held_until BIGINT  NOT NULL
);
