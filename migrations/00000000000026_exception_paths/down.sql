DROP VIEW audit.exceptions;
CREATE OR REPLACE FUNCTION exception_stays_what_it_was() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.request_id, OLD.finding, OLD.rule_id, OLD.fingerprint, OLD.place, OLD.path,
        OLD.path_text, OLD.sort, OLD.reason, OLD.seconds)
        IS DISTINCT FROM
        (NEW.request_id, NEW.finding, NEW.rule_id, NEW.fingerprint, NEW.place, NEW.path,
        NEW.path_text, NEW.sort, NEW.reason, NEW.seconds)
    THEN
        RAISE EXCEPTION 'of an exception, only its end changes'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION request_records(of_request text, until timestamptz) RETURNS text
    LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
SELECT concat_ws(E'\n',
    (SELECT jsonb_build_array('request', id, repository_id, encode(ref_name, 'base64'), old_oid,
            new_oid, kind, push_id, actor_chain, policy_hash, requirements, digest, created_at)::text
        FROM requests WHERE id = of_request),
    (SELECT jsonb_build_array('exception', finding, rule_id, fingerprint, place,
            encode(path, 'base64'), sort, reason, seconds)::text
        FROM exceptions WHERE request_id = of_request),
    (SELECT string_agg(jsonb_build_array('decision', ordinal, approver_issuer, approver_subject,
            approver, decision, reason, digest, decided_at)::text, E'\n' ORDER BY ordinal)
        FROM decisions WHERE request_id = of_request AND decided_at <= until)
)
$$;

ALTER TABLE exceptions DROP COLUMN paths;
CREATE VIEW audit.exceptions AS SELECT * FROM exceptions;
GRANT SELECT ON audit.exceptions TO refwarden_auditor;
