-- External account keys, renewal orders, replaced certificates, auto-renewal,
-- and authorizations that reach to subdomains.

-- +goose Up
CREATE TABLE external_keys (
    directory  TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    mac        BLOB    NOT NULL, -- secret
    comment    TEXT    NOT NULL,
    reusable   INTEGER NOT NULL, -- 0 or 1
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    account_id BLOB,             -- bound last
    PRIMARY KEY (directory, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX external_keys_age ON external_keys (directory, created_at, id);

CREATE TABLE renewal_orders (
    id              BLOB    NOT NULL PRIMARY KEY,
    serial          BLOB,            -- NULL: all of the span
    issued_from     INTEGER,         -- NULL: from the first
    issued_before   INTEGER,
    window_start    INTEGER NOT NULL,
    window_end      INTEGER NOT NULL,
    explanation_url TEXT,
    created_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX renewal_orders_serial ON renewal_orders (serial, created_at, id);
CREATE INDEX renewal_orders_age ON renewal_orders (created_at, id);

-- The order that replaces a certificate; an invalid one gives way.
CREATE TABLE replacements (
    cert_id  TEXT NOT NULL PRIMARY KEY, -- RFC 9773
    order_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What is signed, or under way, comes before what is only asked for.
INSERT INTO replacements (cert_id, order_id)
SELECT replaces, id FROM orders WHERE replaces IS NOT NULL AND error IS NULL
ORDER BY CASE WHEN certificate IS NULL THEN 1 ELSE 0 END, id
ON CONFLICT (cert_id) DO NOTHING;

-- The rest of an order that has orders.auto_renewal. It is claimed from
-- lease_until on; the queue is empty of it while a certificate is being signed.
CREATE TABLE auto_renewals (
    order_id      BLOB    NOT NULL PRIMARY KEY,
    start_at      INTEGER,
    end_at        INTEGER NOT NULL,
    lifetime      INTEGER NOT NULL, -- microseconds
    adjust        INTEGER NOT NULL, -- microseconds
    allow_get     INTEGER NOT NULL, -- 0 or 1
    csr           BLOB,             -- NULL: not finalized
    next_renewal  INTEGER,          -- NULL: none is due
    renewing      BLOB,             -- serial recorded and not yet signed
    renewing_next INTEGER,          -- next_renewal once that is signed
    canceled_at   INTEGER,
    lease_owner   TEXT,
    lease_until   INTEGER           -- NULL: no work is left to do
) STRICT;

CREATE INDEX auto_renewals_lease ON auto_renewals (lease_until) WHERE lease_until IS NOT NULL;

-- 1: an auto-renewal order, or a certificate of one; NULL: an ordinary one.
ALTER TABLE orders ADD COLUMN auto_renewal INTEGER;
ALTER TABLE certificates ADD COLUMN auto_renewal INTEGER;

ALTER TABLE authorizations ADD COLUMN subdomains INTEGER NOT NULL DEFAULT 0; -- 0 or 1

CREATE INDEX authorizations_subdomains ON authorizations (account_id, identifier) WHERE subdomains = 1;
