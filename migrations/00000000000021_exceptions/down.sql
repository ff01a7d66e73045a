DROP VIEW audit.exception_uses;
DROP VIEW audit.exceptions;
CREATE OR REPLACE FUNCTION request_records(of_request text, until timestamptz) RETURNS text
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
DROP TABLE exception_uses;
DROP TABLE exceptions;
DROP FUNCTION exception_stays_what_it_was();
