-- Tokens that are good no longer, and the issuer of the token that a push came with: a token of
-- Refwarden's own names people of other issuers.

ALTER TABLE pushes ADD COLUMN token_issuer text;
UPDATE pushes SET token_issuer = pusher_issuer;

-- One row revokes one token (token_id), or every token of a subject that was made before
-- revoked_at (subject).
CREATE TABLE revocations (
    id          uuid PRIMARY KEY,
    issuer      text NOT NULL,
    token_id    text,
    subject     text,
    revoked_at  timestamptz NOT NULL,
    revoked_by  text NOT NULL,
    reason      text NOT NULL,
    CHECK ((token_id IS NULL) <> (subject IS NULL))
);
CREATE INDEX revocations_by_token ON revocations (issuer, token_id) WHERE token_id IS NOT NULL;
CREATE INDEX revocations_by_subject ON revocations (issuer, subject) WHERE subject IS NOT NULL;
