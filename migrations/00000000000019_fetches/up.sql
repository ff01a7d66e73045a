-- Fetches through the proxy and the login shell: who was sent which objects (docs/auditing.md).

-- Sets of object ids. A set is cut by the first `bits` bits of its ids, and a part is one row
-- however many sets have it. Its digest is SHA-256 over form and ids (crates/model, oidset).
CREATE TABLE object_parts (
    digest  bytea PRIMARY KEY CHECK (length(digest) = 32),
    -- bytes of an id
    width   smallint NOT NULL CHECK (width IN (20, 32)),
    bits    smallint NOT NULL CHECK (bits BETWEEN 0 AND 16),
    -- the bits that its ids begin with
    prefix  integer NOT NULL CHECK (prefix BETWEEN 0 AND 65535),
    -- ascending, one behind the other
    oids    bytea NOT NULL CHECK (length(oids) > 0 AND length(oids) % width = 0)
);
CREATE INDEX object_parts_by_place ON object_parts (width, bits, prefix);

CREATE TABLE object_sets (
    digest   text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    objects  bigint NOT NULL CHECK (objects >= 0),
    parts    bytea[] NOT NULL
);
CREATE INDEX object_sets_by_part ON object_sets USING gin (parts);

-- One row for each pack that was made for a reader. A row belongs to the event `fetch.complete` or
-- `fetch.aborted` with the same repository and number.
CREATE TABLE fetches (
    id              uuid PRIMARY KEY,
    repository_id   uuid NOT NULL REFERENCES repositories,
    seq             bigint NOT NULL,
    host            text NOT NULL,
    recorded_at     timestamptz NOT NULL,
    -- by the host's clock
    begun_at        timestamptz NOT NULL,
    ended_at        timestamptz,
    transport       text NOT NULL,
    client_address  text,
    client_agent    text,
    -- none for a reader without a token
    actor_chain     jsonb,
    reader_issuer   text,
    reader_subject  text,
    reader_kind     text,
    behalf_subject  text,
    token_sha256    text,
    policy_hash     text NOT NULL,
    -- none where the repository itself was served
    view_id         text,
    view_ruleset    text,
    refs_count      bigint,
    refs_digest     text,
    -- protocol, wants, haves, shallow, filter, and their numbers
    asked           jsonb NOT NULL,
    -- complete | aborted
    ended           text NOT NULL CHECK (ended IN ('complete', 'aborted')),
    pack_bytes      bigint NOT NULL,
    pack_objects    bigint,
    -- SHA-256 of what was sent
    pack_sha256     text CHECK (pack_sha256 ~ '^[0-9a-f]{64}$'),
    -- the same, where the pack is kept
    pack_digest     text REFERENCES packs,
    -- none where it could not be learned
    objects         text REFERENCES object_sets,
    certainty       text CHECK (certainty IN ('exact', 'at-most')),
    UNIQUE (repository_id, seq),
    CHECK ((objects IS NULL) = (certainty IS NULL))
);
CREATE INDEX fetches_by_objects ON fetches (objects) WHERE objects IS NOT NULL;
CREATE INDEX fetches_by_pack ON fetches (pack_sha256) WHERE objects IS NOT NULL;
CREATE INDEX fetches_by_kept_pack ON fetches (pack_digest) WHERE pack_digest IS NOT NULL;
CREATE INDEX fetches_by_time ON fetches (repository_id, begun_at);

CREATE OR REPLACE VIEW pack_references AS
    SELECT pack_digest AS digest, repository_id, id AS push_id, received_at AS came_at
        FROM pushes WHERE pack_digest IS NOT NULL
    UNION ALL
    SELECT pack_digest, repository_id, NULL, recorded_at
        FROM baselines WHERE pack_digest IS NOT NULL
    UNION ALL
    SELECT out_of_band.pack_digest, out_of_band.repository_id, NULL, events.recorded_at
        FROM out_of_band JOIN events USING (repository_id, seq)
        WHERE out_of_band.pack_digest IS NOT NULL
    UNION ALL
    SELECT pack_digest, repository_id, NULL, recorded_at
        FROM fetches WHERE pack_digest IS NOT NULL;

-- What the leaf of a fetch's event holds the SHA-256 of. The set's digest names its objects.
CREATE FUNCTION fetch_records(of_repository uuid, of_seq bigint) RETURNS text
    LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
SELECT jsonb_build_array('fetch', id, host, begun_at, ended_at, transport, client_address,
        client_agent, actor_chain, token_sha256, policy_hash, view_id, view_ruleset, refs_count,
        refs_digest, asked, ended, pack_bytes, pack_objects, pack_sha256, pack_digest, objects,
        certainty)::text
    FROM fetches WHERE repository_id = of_repository AND seq = of_seq
$$;

-- The records that belong to an event, by its kind; none for the other kinds.
CREATE FUNCTION event_records(kind text, push uuid, request text, at timestamptz, stream uuid,
    seq bigint) RETURNS text LANGUAGE sql STABLE AS $$
SELECT CASE
    WHEN kind IN ('fetch.complete', 'fetch.aborted') THEN fetch_records(stream, seq)
    ELSE event_records(kind, push, request, at)
END
$$;

-- All three are part of the ledger.
DO $$
DECLARE ledger text;
BEGIN
    FOREACH ledger IN ARRAY ARRAY['object_parts', 'object_sets', 'fetches'] LOOP
        EXECUTE format('CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to()', ledger);
        EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM refwarden_app', ledger);
        EXECUTE format('CREATE VIEW audit.%I AS SELECT * FROM %I', ledger, ledger);
        EXECUTE format('GRANT SELECT ON audit.%I TO refwarden_auditor', ledger);
    END LOOP;
END $$;
