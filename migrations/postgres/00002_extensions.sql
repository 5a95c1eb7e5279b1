-- External account keys, renewal orders, replaced certificates, auto-renewal,
-- and authorizations that reach to subdomains.

-- +goose Up
CREATE TABLE external_keys (
    directory  TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    mac        BYTEA   NOT NULL, -- secret
    comment    TEXT    NOT NULL,
    reusable   INTEGER NOT NULL, -- 0 or 1
    created_at BIGINT  NOT NULL,
    revoked_at BIGINT,
    account_id BYTEA,            -- bound last
    PRIMARY KEY (directory, id)
);

CREATE INDEX external_keys_age ON external_keys (directory, created_at, id);

CREATE TABLE renewal_orders (
    id              BYTEA   NOT NULL PRIMARY KEY,
    serial          BYTEA,           -- NULL: all of the span
    issued_from     BIGINT,          -- NULL: from the first
    issued_before   BIGINT,
    window_start    BIGINT  NOT NULL,
    window_end      BIGINT  NOT NULL,
    explanation_url TEXT,
    created_at      BIGINT  NOT NULL,
    created_by      TEXT    NOT NULL
);

CREATE INDEX renewal_orders_serial ON renewal_orders (serial, created_at, id);
CREATE INDEX renewal_orders_age ON renewal_orders (created_at, id);

-- The order that replaces a certificate; an invalid one gives way.
CREATE TABLE replacements (
    cert_id  TEXT  NOT NULL PRIMARY KEY, -- RFC 9773
    order_id BYTEA NOT NULL
);

-- What is signed, or under way, comes before what is only asked for.
INSERT INTO replacements (cert_id, order_id)
SELECT replaces, id FROM orders WHERE replaces IS NOT NULL AND error IS NULL
ORDER BY CASE WHEN certificate IS NULL THEN 1 ELSE 0 END, id
ON CONFLICT (cert_id) DO NOTHING;

-- The rest of an order that has orders.auto_renewal. It is claimed from
-- lease_until on; the queue is empty of it while a certificate is being signed.
CREATE TABLE auto_renewals (
    order_id      BYTEA   NOT NULL PRIMARY KEY,
    start_at      BIGINT,
    end_at        BIGINT  NOT NULL,
    lifetime      BIGINT  NOT NULL, -- microseconds
    adjust        BIGINT  NOT NULL, -- microseconds
    allow_get     INTEGER NOT NULL, -- 0 or 1
    csr           BYTEA,            -- NULL: not finalized
    next_renewal  BIGINT,           -- NULL: none is due
    renewing      BYTEA,            -- serial recorded and not yet signed
    renewing_next BIGINT,           -- next_renewal once that is signed
    canceled_at   BIGINT,
    lease_owner   TEXT,
    lease_until   BIGINT            -- NULL: no work is left to do
);

CREATE INDEX auto_renewals_lease ON auto_renewals (lease_until) WHERE lease_until IS NOT NULL;

-- 1: an auto-renewal order, or a certificate of one; NULL: an ordinary one.
ALTER TABLE orders ADD COLUMN auto_renewal INTEGER;
ALTER TABLE certificates ADD COLUMN auto_renewal INTEGER;

ALTER TABLE authorizations ADD COLUMN subdomains INTEGER NOT NULL DEFAULT 0; -- 0 or 1

CREATE INDEX authorizations_subdomains ON authorizations (account_id, identifier) WHERE subdomains = 1;
