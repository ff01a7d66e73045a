DROP VIEW audit.masked_pushes;
CREATE OR REPLACE FUNCTION push_records(of_push uuid) RETURNS text
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
DROP TABLE masked_pushes;
