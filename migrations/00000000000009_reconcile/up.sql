-- What the reconciler found. A row of out_of_band belongs to the event `ref.out_of_band` with the
-- same repository and number and holds the values byte for byte: an object id, `ref: <target>`
-- for a symbolic ref, or nothing where there was no ref.
CREATE TABLE out_of_band (
    repository_id  uuid NOT NULL REFERENCES repositories,
    seq            bigint NOT NULL,
    name           bytea NOT NULL,
    old_value      bytea,
    new_value      bytea,
    -- Set where the move was found only by what came after it: the recorded move with this number
    -- started from new_value. The state at seq does not change by such a row.
    before_seq     bigint,
    -- The objects that came with it; none when there were none, or they are missing.
    pack_digest    text REFERENCES packs,
    PRIMARY KEY (repository_id, seq)
);

-- How the guard of each repository was found last: no part of the ledger, which has an event
-- for each change of it.
CREATE TABLE guards (
    repository_id  uuid PRIMARY KEY REFERENCES repositories,
    checked_at     timestamptz NOT NULL,
    defects        text[] NOT NULL
);
CREATE INDEX ref_updates_prepared ON ref_updates (repository_id) WHERE state = 'prepared';
