-- Telling people. No part of the ledger: rows here say how far telling them of an event has
-- come, and go once that is long over.

-- What is to be told. Written in the transaction of the event it is about.
CREATE TABLE outbox (
    id             uuid PRIMARY KEY,
    -- request.created, request.approved and so on; docs/notifications.md names them all
    kind           text NOT NULL,
    recorded_at    timestamptz NOT NULL,
    -- the event, by its key in events
    repository_id  uuid NOT NULL,
    seq            bigint NOT NULL,
    request_id     text,
    -- the request's state right after the event
    request_state  text,
    -- what is told, the same for all channels; made when it is handed out to them
    notice         jsonb,
    UNIQUE (repository_id, seq)
);
CREATE INDEX outbox_fresh ON outbox (id) WHERE notice IS NULL;
CREATE INDEX outbox_by_time ON outbox (recorded_at);

-- One for each channel, and by mail one for each recipient.
CREATE TABLE deliveries (
    id         uuid PRIMARY KEY,
    outbox_id  uuid NOT NULL REFERENCES outbox ON DELETE CASCADE,
    channel    text NOT NULL,
    -- the address, by mail; otherwise empty
    recipient  text NOT NULL,
    state      text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts   integer NOT NULL,
    made_at    timestamptz NOT NULL,
    -- when it is tried next; while it is being tried, when whoever tries it counts as gone
    due_at     timestamptz NOT NULL,
    ended_at   timestamptz,
    -- how the last attempt ended
    said       text NOT NULL,
    UNIQUE (outbox_id, channel, recipient)
);
CREATE INDEX deliveries_due ON deliveries (channel, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_failed ON deliveries (channel, ended_at) WHERE state = 'failed';

-- Who has signed in to the pages, as their provider described them the last time: whom to ask.
CREATE TABLE people (
    issuer   text NOT NULL,
    subject  text NOT NULL,
    actor    jsonb NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
