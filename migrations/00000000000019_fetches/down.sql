DROP FUNCTION event_records(text, uuid, text, timestamptz, uuid, bigint);
DROP FUNCTION fetch_records(uuid, bigint);
CREATE OR REPLACE VIEW pack_references AS
    SELECT pack_digest AS digest, repository_id, id AS push_id, received_at AS came_at
        FROM pushes WHERE pack_digest IS NOT NULL
    UNION ALL
    SELECT pack_digest, repository_id, NULL, recorded_at
        FROM baselines WHERE pack_digest IS NOT NULL
    UNION ALL
    SELECT out_of_band.pack_digest, out_of_band.repository_id, NULL, events.recorded_at
        FROM out_of_band JOIN events USING (repository_id, seq)
        WHERE out_of_band.pack_digest IS NOT NULL;
DROP VIEW audit.fetches, audit.object_sets, audit.object_parts;
DROP TABLE fetches, object_sets, object_parts;
