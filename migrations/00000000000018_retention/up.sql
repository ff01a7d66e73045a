-- Retention of packs, and what stops it. A hold keeps the packs of a repository, of a push, or of
-- what came in a period, from being dropped, until somebody releases it.
CREATE TABLE holds (
    id             uuid PRIMARY KEY,
    -- none: all repositories
    repository_id  uuid REFERENCES repositories,
    push_id        uuid REFERENCES pushes,
    -- what came at this time or after, and before that
    since          timestamptz,
    before         timestamptz,
    reason         text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    placed_by      text NOT NULL,
    placed_at      timestamptz NOT NULL
);
CREATE TABLE hold_releases (
    hold_id      uuid PRIMARY KEY REFERENCES holds,
    reason       text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    released_by  text NOT NULL,
    released_at  timestamptz NOT NULL
);

-- What refers to a pack. Whoever adds a table that does, adds it here.
CREATE VIEW pack_references AS
    SELECT pack_digest AS digest, repository_id, id AS push_id, received_at AS came_at
        FROM pushes WHERE pack_digest IS NOT NULL
    UNION ALL
    SELECT pack_digest, repository_id, NULL, recorded_at
        FROM baselines WHERE pack_digest IS NOT NULL
    UNION ALL
    SELECT out_of_band.pack_digest, out_of_band.repository_id, NULL, events.recorded_at
        FROM out_of_band JOIN events USING (repository_id, seq)
        WHERE out_of_band.pack_digest IS NOT NULL;

-- Whether a hold stops a pack from being dropped.
CREATE FUNCTION pack_is_held(of_pack text) RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT EXISTS (
    SELECT FROM holds JOIN pack_references AS used ON used.digest = of_pack
    WHERE (holds.repository_id IS NULL OR holds.repository_id = used.repository_id)
        AND (holds.push_id IS NULL OR holds.push_id = used.push_id)
        AND (holds.since IS NULL OR used.came_at >= holds.since)
        AND (holds.before IS NULL OR used.came_at < holds.before)
        AND NOT EXISTS (SELECT FROM hold_releases WHERE hold_id = holds.id))
$$;

CREATE INDEX pack_copies_by_time ON pack_copies (stored_at, digest, copy);

DO $$
DECLARE ledger text;
BEGIN
    FOREACH ledger IN ARRAY ARRAY['holds', 'hold_releases'] LOOP
        EXECUTE format('CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to()', ledger);
        EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM refwarden_app', ledger);
        EXECUTE format('CREATE VIEW audit.%I AS SELECT * FROM %I', ledger, ledger);
        EXECUTE format('GRANT SELECT ON audit.%I TO refwarden_auditor', ledger);
    END LOOP;
    REVOKE INSERT, UPDATE, DELETE ON pack_references FROM refwarden_app;
END $$;
