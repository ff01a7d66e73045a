-- Requests: what an approval may be kept for, what approvers answered, and what people say.

-- Digest of the patches, messages and people of the commits, for an approval that a clean rebase
-- keeps; null where the approval is bound to the oids alone.
ALTER TABLE requests ADD COLUMN patch_series text;

-- [{"question": ..., "answer": ...}, ...], as the approver saw and wrote them
ALTER TABLE decisions ADD COLUMN answers jsonb NOT NULL DEFAULT '[]';

CREATE TABLE comments (
    request_id  text NOT NULL REFERENCES requests,
    ordinal     integer NOT NULL,
    author      jsonb NOT NULL,
    text        text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (request_id, ordinal)
);

-- Which pushes a request has released.
CREATE INDEX ref_updates_by_request ON ref_updates (request_id) WHERE request_id IS NOT NULL;
