-- The tamper-evident log over events and readings (docs/auditing.md). All tables but
-- log_positions are only ever inserted into.

-- Readings are numbered without gaps too, so that one that is missing is missed.
CREATE TABLE reading_numbers (
    -- one row; the next reading's number is taken under its lock
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    next  bigint NOT NULL
);
ALTER TABLE readings ADD COLUMN seq bigint;
UPDATE readings SET seq = numbered.seq
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS seq FROM readings) AS numbered
    WHERE readings.id = numbered.id;
ALTER TABLE readings ALTER COLUMN seq SET NOT NULL;
ALTER TABLE readings ADD UNIQUE (seq);
INSERT INTO reading_numbers (next) SELECT coalesce(max(seq), 0) + 1 FROM readings;

-- One row for each leaf. The stream is a repository's id, or all zeroes for readings.
CREATE TABLE log_leaves (
    leaf_index  bigint PRIMARY KEY CHECK (leaf_index >= 0),
    stream      uuid NOT NULL,
    seq         bigint NOT NULL,
    hash        bytea NOT NULL CHECK (length(hash) = 32),
    -- SHA-256 over push_records, for the events that have it
    records     text,
    UNIQUE (stream, seq)
);

-- The hashes of 256 leaves in a row, and the root over them, so that proofs read little.
CREATE TABLE log_tiles (
    tile    bigint PRIMARY KEY CHECK (tile >= 0),
    hashes  bytea NOT NULL CHECK (length(hashes) = 8192),
    root    bytea NOT NULL CHECK (length(root) = 32)
);

-- Signed notes (C2SP tlog-checkpoint).
CREATE TABLE log_checkpoints (
    size         bigint PRIMARY KEY CHECK (size >= 1),
    recorded_at  timestamptz NOT NULL,
    note         text NOT NULL
);

-- Working state of the sequencer: the last number of each stream that is in the log. It can be
-- made again from log_leaves.
CREATE TABLE log_positions (
    stream  uuid PRIMARY KEY,
    seq     bigint NOT NULL
);

-- Everything that was recorded with a push when it arrived, as text: what the leaf of its
-- push.denied, push.waiting or push.released event holds the SHA-256 of. What changes later
-- (states and their times) is told by events of its own.
CREATE FUNCTION push_records(of_push uuid) RETURNS text
    LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
SELECT concat_ws(E'\n',
    (SELECT jsonb_build_array('push', id, repository_id, host, received_at, boot_id,
            pid_namespace, pid, start_ticks, transport, client_address, client_agent,
            hook_version, pusher_issuer, pusher_subject, pusher_kind, behalf_subject, actor_chain,
            token_issuer, token_sha256, token_id, push_options, policy_hash, ruleset_id, verdict,
            codes, commits_total, findings_total, objects_scanned, pack_digest, timings)::text
        FROM pushes WHERE id = of_push),
    (SELECT string_agg(jsonb_build_array('ref', ordinal, encode(ref_name, 'base64'),
            encode(target, 'base64'), claimed_old, actual_old, new_oid, kind, new_type, gained,
            lost)::text, E'\n' ORDER BY ordinal)
        FROM ref_updates WHERE push_id = of_push),
    (SELECT string_agg(jsonb_build_array('commit', ordinal, oid, parents, tree,
            encode(author, 'base64'), encode(committer, 'base64'),
            encode(sha256(message), 'hex'), signed, changes_total)::text,
            E'\n' ORDER BY ordinal)
        FROM commits WHERE push_id = of_push),
    (SELECT string_agg(jsonb_build_array('change', commit_ordinal, ordinal,
            encode(path, 'base64'), old_mode, new_mode, old_oid, new_oid, status, added, deleted,
            encode(sha256(patch), 'hex'), patch_cut)::text,
            E'\n' ORDER BY commit_ordinal, ordinal)
        FROM changes WHERE push_id = of_push),
    (SELECT string_agg(jsonb_build_array('finding', ordinal, rule_id, fingerprint, place,
            object_oid, encode(path, 'base64'), commit_oid, line, column_, redacted,
            pre_existing, checksum)::text, E'\n' ORDER BY ordinal)
        FROM findings WHERE push_id = of_push)
)
$$;

-- The decisions on a request that had been made when an event about it was recorded.
CREATE FUNCTION request_records(of_request text, until timestamptz) RETURNS text
    LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
SELECT concat_ws(E'\n',
    (SELECT jsonb_build_array('request', id, repository_id, encode(ref_name, 'base64'), old_oid,
            new_oid, kind, push_id, actor_chain, policy_hash, requirements, digest, created_at)::text
        FROM requests WHERE id = of_request),
    (SELECT string_agg(jsonb_build_array('decision', ordinal, approver_issuer, approver_subject,
            approver, decision, reason, digest, decided_at)::text, E'\n' ORDER BY ordinal)
        FROM decisions WHERE request_id = of_request AND decided_at <= until)
)
$$;

-- The records that belong to an event, by its kind; none for the other kinds.
CREATE FUNCTION event_records(kind text, push uuid, request text, at timestamptz) RETURNS text
    LANGUAGE sql STABLE AS $$
SELECT CASE
    WHEN kind IN ('push.denied', 'push.waiting', 'push.released') THEN push_records(push)
    WHEN kind IN ('request.created', 'request.approved', 'request.rejected')
        THEN request_records(request, at)
END
$$;
