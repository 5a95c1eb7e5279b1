-- CRLs that are larger than one part.

-- +goose Up
ALTER TABLE crls ADD COLUMN size INTEGER NOT NULL DEFAULT 0; -- of the whole CRL; 0: der is all of it

-- What follows after crls.der.
CREATE TABLE crl_parts (
    issuer    BLOB    NOT NULL,
    crl_shard INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    part      INTEGER NOT NULL, -- from 1
    der       BLOB    NOT NULL,
    PRIMARY KEY (issuer, crl_shard, number, part)
) STRICT;
