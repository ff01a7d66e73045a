-- Where packs are. A pack is what was received, and is one row of packs however often it comes;
-- pack_copies tells which file of the store holds it, and pack_drops which of those files was
-- deleted by retention, after which the same pack may come and be stored again.
CREATE TABLE pack_copies (
    digest         text NOT NULL REFERENCES packs,
    copy           integer NOT NULL CHECK (copy >= 1),
    -- relative to the store
    location       text NOT NULL UNIQUE,
    -- length of the file
    stored_bytes   bigint NOT NULL CHECK (stored_bytes >= 0),
    -- SHA-256 of the file where it is sealed; none where it is the pack itself
    sealed_digest  text CHECK (sealed_digest ~ '^[0-9a-f]{64}$'),
    -- age recipients that it is sealed to
    recipients     text[] NOT NULL,
    stored_at      timestamptz NOT NULL,
    PRIMARY KEY (digest, copy)
);
INSERT INTO pack_copies (digest, copy, location, stored_bytes, recipients, stored_at)
    SELECT digest, 1, location, bytes, '{}', stored_at FROM packs;
ALTER TABLE packs DROP COLUMN location;

-- Each time that it came: days of retention count from the last.
CREATE TABLE pack_receptions (
    digest       text NOT NULL REFERENCES packs,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (digest, received_at)
);
INSERT INTO pack_receptions SELECT digest, stored_at FROM packs;
INSERT INTO pack_receptions SELECT pack_digest, received_at FROM pushes
    WHERE pack_digest IS NOT NULL ON CONFLICT DO NOTHING;

CREATE TABLE pack_drops (
    digest      text NOT NULL,
    copy        integer NOT NULL,
    dropped_at  timestamptz NOT NULL,
    after_days  integer NOT NULL,
    PRIMARY KEY (digest, copy),
    FOREIGN KEY (digest, copy) REFERENCES pack_copies
);

CREATE INDEX pushes_by_pack ON pushes (pack_digest) WHERE pack_digest IS NOT NULL;
CREATE INDEX baselines_by_pack ON baselines (pack_digest) WHERE pack_digest IS NOT NULL;
CREATE INDEX out_of_band_by_pack ON out_of_band (pack_digest) WHERE pack_digest IS NOT NULL;

-- All three are part of the ledger.
DO $$
DECLARE ledger text;
BEGIN
    FOREACH ledger IN ARRAY ARRAY['pack_copies', 'pack_receptions', 'pack_drops'] LOOP
        EXECUTE format('CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to()', ledger);
        EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM refwarden_app', ledger);
        EXECUTE format('CREATE VIEW audit.%I AS SELECT * FROM %I', ledger, ledger);
        EXECUTE format('GRANT SELECT ON audit.%I TO refwarden_auditor', ledger);
    END LOOP;
END $$;
