-- Certificate Transparency (RFC 6962).

-- +goose Up
-- DER, for good. From then until the SCTs are there tbs is NULL; after that it
-- is the final certificate's.
ALTER TABLE certificates ADD COLUMN precertificate BLOB;
ALTER TABLE certificates ADD COLUMN submit_at INTEGER; -- to logs, the final certificate; NULL: it is not to be

CREATE INDEX certificates_submit ON certificates (submit_at) WHERE submit_at IS NOT NULL;
