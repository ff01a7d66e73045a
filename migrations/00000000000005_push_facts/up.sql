-- What the hook learned about a push, as policy judged it, without the text of patches: so that
-- another policy can judge it again. Text and not jsonb: kept byte for byte, never searched.
CREATE TABLE push_facts (
    push_id  uuid PRIMARY KEY REFERENCES pushes (id),
    facts    text NOT NULL
);
