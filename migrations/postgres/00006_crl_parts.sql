-- CRLs that are larger than one part.

-- +goose Up
ALTER TABLE crls ADD COLUMN size BIGINT NOT NULL DEFAULT 0; -- of the whole CRL; 0: der is all of it

-- What follows after crls.der.
CREATE TABLE crl_parts (
    issuer    BYTEA   NOT NULL,
    crl_shard INTEGER NOT NULL,
    number    BIGINT  NOT NULL,
    part      INTEGER NOT NULL, -- from 1
    der       BYTEA   NOT NULL,
    PRIMARY KEY (issuer, crl_shard, number, part)
);
