-- The ledger and what it needs. Bytes that git does not promise to be text (ref names, paths,
-- messages, author lines) are bytea, with a lossy text column beside them for search. Object
-- ids are lower-case hexadecimal text. Rows of ledger tables are inserted and, but for the
-- states named below, never changed.

CREATE TABLE repositories (
    id             uuid PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    object_format  text NOT NULL CHECK (object_format IN ('sha1', 'sha256')),
    host           text NOT NULL,
    epoch          integer NOT NULL CHECK (epoch >= 1),
    adopted_at     timestamptz NOT NULL,
    -- The sequencer: the next event's number, taken under this row's lock, so that a
    -- repository's events are ordered and have no gaps.
    next_seq       bigint NOT NULL DEFAULT 1
);

CREATE TABLE packs (
    digest      text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    bytes       bigint NOT NULL CHECK (bytes >= 0),
    location    text NOT NULL,
    stored_at   timestamptz NOT NULL
);

CREATE TABLE baselines (
    repository_id  uuid NOT NULL REFERENCES repositories,
    epoch          integer NOT NULL,
    seq            bigint NOT NULL,
    recorded_at    timestamptz NOT NULL,
    head           bytea NOT NULL,
    -- [[name, oid or "ref: target"], ...], each a string or {"base64": ...}
    refs           jsonb NOT NULL,
    pack_digest    text REFERENCES packs,
    PRIMARY KEY (repository_id, epoch)
);

CREATE TABLE pushes (
    id              uuid PRIMARY KEY,
    repository_id   uuid NOT NULL REFERENCES repositories,
    host            text NOT NULL,
    received_at     timestamptz NOT NULL,
    boot_id         text NOT NULL,
    pid_namespace   bigint NOT NULL,
    pid             bigint NOT NULL,
    start_ticks     bigint NOT NULL,
    transport       text NOT NULL,
    client_address  text,
    client_agent    text,
    hook_version    text NOT NULL,
    -- none when no token could be verified
    pusher_issuer   text,
    pusher_subject  text,
    pusher_kind     text,
    behalf_subject  text,
    actor_chain     jsonb,
    token_sha256    text,
    token_id        text,
    push_options    jsonb NOT NULL,
    policy_hash     text NOT NULL,
    ruleset_id      text NOT NULL,
    verdict         jsonb NOT NULL,
    codes           text[] NOT NULL,
    -- denied | waiting | granted | cancelled
    state           text NOT NULL,
    commits_total   bigint NOT NULL,
    findings_total  bigint NOT NULL,
    objects_scanned bigint NOT NULL,
    pack_digest     text REFERENCES packs,
    timings         jsonb NOT NULL,
    completed_at    timestamptz,
    UNIQUE (host, boot_id, pid_namespace, pid, start_ticks)
);
CREATE INDEX pushes_by_repository ON pushes (repository_id, received_at);
CREATE INDEX pushes_by_subject ON pushes (pusher_subject, received_at);

CREATE TABLE requests (
    id              text PRIMARY KEY,
    repository_id   uuid NOT NULL REFERENCES repositories,
    ref_name        bytea NOT NULL,
    ref_name_text   text NOT NULL,
    old_oid         text NOT NULL,
    new_oid         text NOT NULL,
    kind            text NOT NULL,
    -- the push that asked first; its facts are what approvers are shown
    push_id         uuid NOT NULL REFERENCES pushes,
    actor_chain     jsonb NOT NULL,
    policy_hash     text NOT NULL,
    -- [{rule, quorum, approvers}], each of which must be met
    requirements    jsonb NOT NULL,
    digest          text NOT NULL,
    -- waiting | approved | rejected | expired | stale | used
    state           text NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    closed_at       timestamptz,
    consumed_by     uuid REFERENCES pushes
);
CREATE INDEX requests_open ON requests (repository_id, ref_name) WHERE state IN ('waiting', 'approved');
CREATE INDEX requests_by_state ON requests (state, created_at);

CREATE TABLE ref_updates (
    push_id        uuid NOT NULL REFERENCES pushes,
    ordinal        integer NOT NULL,
    repository_id  uuid NOT NULL REFERENCES repositories,
    ref_name       bytea NOT NULL,
    ref_name_text  text NOT NULL,
    target         bytea NOT NULL,
    claimed_old    text NOT NULL,
    actual_old     text NOT NULL,
    new_oid        text NOT NULL,
    kind           text NOT NULL,
    new_type       text,
    gained         bigint NOT NULL,
    lost           bigint NOT NULL,
    request_id     text REFERENCES requests,
    -- claimed | released | prepared | committed | not_moved
    state          text NOT NULL,
    prepared_at    timestamptz,
    settled_at     timestamptz,
    PRIMARY KEY (push_id, ordinal)
);
CREATE INDEX ref_updates_by_ref ON ref_updates (repository_id, target);

CREATE TABLE commits (
    push_id        uuid NOT NULL REFERENCES pushes,
    ordinal        integer NOT NULL,
    oid            text NOT NULL,
    parents        text[] NOT NULL,
    tree           text NOT NULL,
    author         bytea NOT NULL,
    author_text    text NOT NULL,
    committer      bytea NOT NULL,
    message        bytea NOT NULL,
    message_text   text NOT NULL,
    signed         boolean NOT NULL,
    changes_total  bigint NOT NULL,
    PRIMARY KEY (push_id, ordinal)
);
CREATE INDEX commits_by_oid ON commits (oid);

CREATE TABLE changes (
    push_id         uuid NOT NULL,
    commit_ordinal  integer NOT NULL,
    ordinal         integer NOT NULL,
    path            bytea NOT NULL,
    path_text       text NOT NULL,
    old_mode        text NOT NULL,
    new_mode        text NOT NULL,
    old_oid         text NOT NULL,
    new_oid         text NOT NULL,
    status          text NOT NULL,
    added           bigint,
    deleted         bigint,
    patch           bytea NOT NULL,
    patch_cut       boolean NOT NULL,
    PRIMARY KEY (push_id, commit_ordinal, ordinal),
    FOREIGN KEY (push_id, commit_ordinal) REFERENCES commits (push_id, ordinal)
);

CREATE TABLE findings (
    push_id       uuid NOT NULL REFERENCES pushes,
    ordinal       integer NOT NULL,
    rule_id       text NOT NULL,
    fingerprint   text NOT NULL,
    place         text NOT NULL,
    object_oid    text,
    path          bytea,
    path_text     text,
    commit_oid    text,
    line          bigint NOT NULL,
    column_       bigint NOT NULL,
    redacted      text NOT NULL,
    pre_existing  boolean NOT NULL,
    checksum      text,
    PRIMARY KEY (push_id, ordinal)
);
CREATE INDEX findings_by_fingerprint ON findings (fingerprint);

CREATE TABLE decisions (
    request_id        text NOT NULL REFERENCES requests,
    ordinal           integer NOT NULL,
    approver_issuer   text NOT NULL,
    approver_subject  text NOT NULL,
    approver          jsonb NOT NULL,
    decision          text NOT NULL CHECK (decision IN ('approve', 'reject')),
    reason            text NOT NULL,
    digest            text NOT NULL,
    decided_at        timestamptz NOT NULL,
    PRIMARY KEY (request_id, ordinal),
    UNIQUE (request_id, approver_issuer, approver_subject)
);

-- A token that has released a push releases no other.
CREATE TABLE used_tokens (
    issuer      text NOT NULL,
    token_id    text NOT NULL,
    push_id     uuid NOT NULL REFERENCES pushes,
    used_at     timestamptz NOT NULL,
    PRIMARY KEY (issuer, token_id)
);

-- Everything that happened, in order. A leaf of the tamper-evident log is made of such a row.
CREATE TABLE events (
    repository_id  uuid NOT NULL REFERENCES repositories,
    seq            bigint NOT NULL CHECK (seq >= 1),
    recorded_at    timestamptz NOT NULL,
    kind           text NOT NULL,
    actor          text NOT NULL,
    push_id        uuid REFERENCES pushes,
    request_id     text REFERENCES requests,
    ref_name       bytea,
    ref_name_text  text,
    old_oid        text,
    new_oid        text,
    codes          text[] NOT NULL,
    summary        text NOT NULL,
    PRIMARY KEY (repository_id, seq)
);
CREATE INDEX events_by_time ON events (recorded_at, repository_id, seq);
CREATE INDEX events_by_push ON events (push_id);

-- Reading the records is an event too, but of no repository.
CREATE TABLE readings (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at  timestamptz NOT NULL,
    reader       text NOT NULL,
    what         text NOT NULL
);

-- Web sessions and sign-ins under way: state of the pages, no part of the ledger.
CREATE TABLE sessions (
    id_sha256   text PRIMARY KEY,
    actor       jsonb NOT NULL,
    csrf        text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE TABLE pending_sign_ins (
    state_sha256  text PRIMARY KEY,
    verifier      text NOT NULL,
    nonce         text NOT NULL,
    return_to     text NOT NULL,
    expires_at    timestamptz NOT NULL
);
