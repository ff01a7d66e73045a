-- A request of the kind "exception" asks the owners of a scanner's rule to let one finding pass: in
-- one repository, by rule, fingerprint and path. It belongs to the push that was refused for it, and
-- to no ref. Exceptions that hold are in the state "approved" until expires_at.
CREATE TABLE exceptions (
    request_id   text PRIMARY KEY REFERENCES requests,
    -- its place among the findings of the request's push
    finding      integer NOT NULL,
    rule_id      text NOT NULL,
    fingerprint  text NOT NULL,
    place        text NOT NULL,
    -- none: the finding is in no file
    path         bytea,
    path_text    text,
    sort         text NOT NULL CHECK (sort IN ('test-data', 'false-positive', 'fix-later')),
    reason       text NOT NULL,
    -- how long it holds, once it was approved
    seconds      bigint NOT NULL CHECK (seconds > 0),
    -- who took it back, and why
    ended_by     text,
    end_reason   text
);
CREATE INDEX exceptions_by_fingerprint ON exceptions (fingerprint, rule_id);

-- Which findings of which pushes an exception has let pass, or would have: a push is checked again
-- before its refs move.
CREATE TABLE exception_uses (
    push_id     uuid NOT NULL REFERENCES pushes,
    finding     integer NOT NULL,
    request_id  text NOT NULL REFERENCES exceptions,
    PRIMARY KEY (push_id, finding, request_id)
);
CREATE INDEX exception_uses_by_request ON exception_uses (request_id, push_id);

CREATE FUNCTION exception_stays_what_it_was() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER stays_what_it_was BEFORE UPDATE ON exceptions
    FOR EACH ROW EXECUTE FUNCTION exception_stays_what_it_was();
CREATE TRIGGER not_deleted BEFORE DELETE OR TRUNCATE ON exceptions
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to();
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON exception_uses
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to();
REVOKE DELETE ON exceptions FROM refwarden_app;
REVOKE UPDATE, DELETE ON exception_uses FROM refwarden_app;

-- What an event about a request holds the SHA-256 of covers what an exception lets pass. Requests of
-- other kinds have the records that they had.
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

CREATE VIEW audit.exceptions AS SELECT * FROM exceptions;
CREATE VIEW audit.exception_uses AS SELECT * FROM exception_uses;
GRANT SELECT ON audit.exceptions, audit.exception_uses TO refwarden_auditor;
