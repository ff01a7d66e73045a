DROP TABLE revocations;
ALTER TABLE pushes DROP COLUMN token_issuer;
