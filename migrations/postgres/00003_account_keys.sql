-- The keys that accounts have or had. Of accounts that changed theirs before
-- this version, the store knows the current one alone.

-- +goose Up
CREATE TABLE account_keys (
    account_id BYTEA  NOT NULL,
    thumbprint TEXT   NOT NULL, -- RFC 7638
    since      BIGINT NOT NULL, -- when the account had it first
    PRIMARY KEY (account_id, thumbprint)
);

INSERT INTO account_keys (account_id, thumbprint, since)
SELECT id, thumbprint, created_at FROM accounts;
