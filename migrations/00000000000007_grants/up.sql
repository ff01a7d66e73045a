-- A request of the kind "grant" asks for a window of time and belongs to no push. Open windows are
-- in the state "approved" until expires_at. Further states: revoked (a grant), review (released in
-- an emergency, somebody has to look at it), reviewed.
ALTER TABLE requests ALTER COLUMN push_id DROP NOT NULL;
ALTER TABLE requests ADD CONSTRAINT requests_have_a_push
    CHECK (kind = 'grant' OR push_id IS NOT NULL);

CREATE TABLE grants (
    request_id  text PRIMARY KEY REFERENCES requests,
    seconds     bigint NOT NULL CHECK (seconds > 0),
    reason      text NOT NULL,
    -- who took it back, and why
    ended_by    text,
    end_reason  text
);
