DROP INDEX fetches_by_reader_of_view;
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
        FROM fetches WHERE pack_digest IS NOT NULL
    UNION ALL
    SELECT masked_pushes.pack_digest, pushes.repository_id, pushes.id, pushes.received_at
        FROM masked_pushes JOIN pushes ON pushes.id = masked_pushes.push_id
        WHERE masked_pushes.pack_digest IS NOT NULL;
DROP VIEW audit.untranslated_pushes;
DROP TABLE untranslated_pushes;
DROP VIEW audit.masked_pushes;
ALTER TABLE masked_pushes DROP COLUMN made_of;
CREATE VIEW audit.masked_pushes AS SELECT * FROM masked_pushes;
GRANT SELECT ON audit.masked_pushes TO refwarden_auditor;
