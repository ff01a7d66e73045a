-- What a view is made of: its refs, and whether what generic rules find is masked. No part of
-- push_records: the view's id, which is, depends on it.
ALTER TABLE masked_pushes ADD COLUMN made_of jsonb;
CREATE OR REPLACE VIEW audit.masked_pushes AS SELECT * FROM masked_pushes;

-- Pushes from masked clones that could not be translated, as their clients made them. A row belongs
-- to the event `push.refused` with the same repository and number.
CREATE TABLE untranslated_pushes (
    repository_id  uuid NOT NULL REFERENCES repositories,
    seq            bigint NOT NULL,
    view_id        text NOT NULL,
    view_ruleset   text NOT NULL,
    -- ref_name, old and new of each ref, under the names that objects have in the view
    updates        jsonb NOT NULL,
    -- the client's own pack
    pack_digest    text REFERENCES packs,
    made_of        jsonb,
    PRIMARY KEY (repository_id, seq)
);
CREATE INDEX untranslated_pushes_by_pack ON untranslated_pushes (pack_digest)
    WHERE pack_digest IS NOT NULL;

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
        WHERE masked_pushes.pack_digest IS NOT NULL
    UNION ALL
    SELECT of_view.pack_digest, of_view.repository_id, NULL, events.recorded_at
        FROM untranslated_pushes AS of_view JOIN events USING (repository_id, seq)
        WHERE of_view.pack_digest IS NOT NULL;

CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON untranslated_pushes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to();
REVOKE UPDATE, DELETE ON untranslated_pushes FROM refwarden_app;
CREATE VIEW audit.untranslated_pushes AS SELECT * FROM untranslated_pushes;
GRANT SELECT ON audit.untranslated_pushes TO refwarden_auditor;

-- From which view a reader has fetched last: asked before each fetch from a view.
CREATE INDEX fetches_by_reader_of_view
    ON fetches (repository_id, reader_issuer, reader_subject, begun_at) WHERE view_id IS NOT NULL;
