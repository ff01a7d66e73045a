-- Refs and paths are also found by how their last part begins (`ref:refs/heads/feature/user799-*`): by their
-- folder and the first 4, 8 and 16 characters behind it, paths also by their folder alone. A term is a hash,
-- so its size is that of any other, however long the name is.
-- Written without a subquery, so that Postgres puts it in place of its call.
CREATE FUNCTION name_start(whole text, many integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN length(substring(whole from '[^/]*$')) >= many
        THEN left(whole, length(whole) - length(substring(whole from '[^/]*$')) + many) END
$$;

-- As in migration 25, and these.
CREATE OR REPLACE FUNCTION make_event_terms(at_most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    start bigint;
    past bigint;
BEGIN
    -- A lock is written down, so it is taken only where there is something to do.
    PERFORM FROM event_terms_made AS made
        WHERE EXISTS (SELECT FROM log_leaves WHERE leaf_index >= made.leaves);
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT leaves INTO start FROM event_terms_made FOR UPDATE SKIP LOCKED;
    -- Not beyond the log's end, which is 0 where it is empty.
    SELECT least(start + at_most, coalesce(max(leaf_index) + 1, 0)) INTO past FROM log_leaves;
    IF start IS NULL OR past <= start THEN
        RETURN 0;
    END IF;

    WITH fresh AS MATERIALIZED (
        SELECT l.leaf_index >> 15 AS block, e.repository_id, e.seq, e.recorded_at, e.kind, e.actor,
            e.push_id, e.ref_name_text AS ref, e.codes
        FROM log_leaves AS l JOIN events AS e ON e.repository_id = l.stream AND e.seq = l.seq
        WHERE l.leaf_index >= start AND l.leaf_index < past
    ), pushed AS MATERIALIZED (
        SELECT p.id, found.terms || changed.terms
                || ARRAY['by:' || p.pusher_kind, 'for:' || p.behalf_subject] AS terms,
            moved.states
        FROM pushes AS p
        CROSS JOIN LATERAL (
            SELECT array_agg(DISTINCT 'rule:' || rule_id) AS terms
            FROM findings WHERE push_id = p.id
        ) AS found
        CROSS JOIN LATERAL (
            SELECT CASE WHEN count(*) > 64 THEN ARRAY['path'] ELSE array_agg('path:' || path_text)
                    || array_agg('top:' || split_part(path_text, '/', 1))
                    || array_agg('top:' || substring(path_text from '^([^/]*/[^/]*)/'))
                    || array_agg('file:' || substring(path_text from '[^/]*$'))
                    || array_agg('type:' || substring(path_text from '\.([^./]*)$'))
                    || array_agg('starts:' || name_start(path_text, 0))
                    || array_agg('starts:' || name_start(path_text, 4))
                    || array_agg('starts:' || name_start(path_text, 8))
                    || array_agg('starts:' || name_start(path_text, 16))
                END AS terms
            FROM (SELECT path_text FROM changes WHERE push_id = p.id LIMIT 65) AS few
        ) AS changed
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(hash ORDER BY hash), '{}') AS states FROM (
                SELECT term_hash('push:' || p.state) AS hash
                UNION SELECT term_hash('move:' || u.state) FROM ref_updates AS u
                    WHERE u.push_id = p.id
            ) AS hashes WHERE hash < 16
        ) AS moved
        WHERE p.id = ANY (ARRAY(SELECT DISTINCT push_id FROM fresh))
    ), termed AS MATERIALIZED (
        SELECT fresh.*, ARRAY['repo:' || repository_id, 'kind:' || kind,
                'kind:' || split_part(kind, '.', 1), 'actor:' || actor, 'ref:' || ref,
                'end:' || substring(ref from '[^/]*$'), 'begins:' || name_start(ref, 4),
                'begins:' || name_start(ref, 8), 'begins:' || name_start(ref, 16)]
            || ARRAY(SELECT 'actor:' || array_to_string(parts[1:n], ' for ')
                FROM string_to_array(actor, ' for ') AS parts,
                    generate_series(1, cardinality(parts) - 1) AS n)
            || ARRAY(SELECT 'under:' || array_to_string(parts[1:n], '/')
                FROM string_to_array(ref, '/') AS parts,
                    generate_series(3, least(cardinality(parts) - 1, 8)) AS n)
            || ARRAY(SELECT 'code:' || code FROM unnest(codes) AS code) AS terms
        FROM fresh
    ), named AS (
        INSERT INTO event_values (digest, field, value)
        SELECT sha256(convert_to(term, 'UTF8')), split_part(term, ':', 1),
            substr(term, strpos(term, ':') + 1)
        FROM (SELECT unnest(terms) FROM termed UNION SELECT unnest(terms) FROM pushed)
            AS all_terms (term)
        WHERE term LIKE 'actor:%' OR term LIKE 'for:%' OR term LIKE 'rule:%'
        ON CONFLICT DO NOTHING
    ), spanned AS (
        INSERT INTO event_term_blocks AS known (block, first_at, last_at)
        SELECT block, min(recorded_at), max(recorded_at) FROM fresh GROUP BY block
        ON CONFLICT (block) DO UPDATE SET first_at = least(known.first_at, excluded.first_at),
            last_at = greatest(known.last_at, excluded.last_at)
    ), earlier AS (
        -- Events of the same pushes that have their terms already.
        UPDATE event_terms AS t
        SET terms = ARRAY(SELECT term FROM unnest(t.terms) AS term
                WHERE (term & 4294967295) >= 16)
            || ARRAY(SELECT (t.terms[1] >> 32 << 32) | hash FROM unnest(pushed.states) AS hash)
        FROM pushed JOIN events AS e ON e.push_id = pushed.id
        WHERE t.repository_id = e.repository_id AND t.seq = e.seq
            AND ARRAY(SELECT term & 4294967295 FROM unnest(t.terms) AS term
                WHERE (term & 4294967295) < 16 ORDER BY 1)
                IS DISTINCT FROM pushed.states
    )
    INSERT INTO event_terms (repository_id, seq, recorded_at, terms)
    SELECT f.repository_id, f.seq, f.recorded_at,
        ARRAY(SELECT DISTINCT (f.block << 32) | hash FROM (
            SELECT name_hash(term) AS hash FROM unnest(f.terms || pushed.terms) AS term
            UNION ALL SELECT unnest(pushed.states)) AS hashes WHERE hash IS NOT NULL)
    FROM termed AS f LEFT JOIN pushed ON pushed.id = f.push_id
    ON CONFLICT DO NOTHING;

    UPDATE event_terms_made SET leaves = past;
    -- Every question reads what is not sorted into the index.
    PERFORM gin_clean_pending_list('event_terms_by_term');
    RETURN past - start;
END $$;

DO $$
BEGIN
    -- Replacing it has taken this away. Whoever calls it chooses no table in place of these.
    EXECUTE format('ALTER FUNCTION make_event_terms SET search_path = %I, pg_temp',
        current_schema());
END $$;

-- Whoever asks by a term takes what has none for what is not meant, so those of earlier events are made
-- anew, in the background; until then questions take longer.
TRUNCATE event_terms, event_term_blocks, event_values;
UPDATE event_terms_made SET leaves = 0;
