//! The tables, as diesel sees them; they are described in `migrations/`.

diesel::table! {
    repositories (id) {
        id -> Uuid, name -> Text, object_format -> Text, host -> Text, epoch -> Int4,
        adopted_at -> Timestamptz, next_seq -> Int8,
    }
}
diesel::table! {
    packs (digest) { digest -> Text, bytes -> Int8, stored_at -> Timestamptz, }
}
diesel::table! {
    pack_copies (digest, copy) {
        digest -> Text, copy -> Int4, location -> Text, stored_bytes -> Int8,
        sealed_digest -> Nullable<Text>, recipients -> Array<Text>, stored_at -> Timestamptz,
    }
}
diesel::table! {
    pack_receptions (digest, received_at) { digest -> Text, received_at -> Timestamptz, }
}
diesel::table! {
    pack_drops (digest, copy) {
        digest -> Text, copy -> Int4, dropped_at -> Timestamptz, after_days -> Int4,
    }
}
diesel::table! {
    holds (id) {
        id -> Uuid, repository_id -> Nullable<Uuid>, push_id -> Nullable<Uuid>,
        since -> Nullable<Timestamptz>, before -> Nullable<Timestamptz>, reason -> Text,
        placed_by -> Text, placed_at -> Timestamptz,
    }
}
diesel::table! {
    hold_releases (hold_id) {
        hold_id -> Uuid, reason -> Text, released_by -> Text, released_at -> Timestamptz,
    }
}
diesel::table! {
    baselines (repository_id, epoch) {
        repository_id -> Uuid, epoch -> Int4, seq -> Int8, recorded_at -> Timestamptz,
        head -> Bytea, refs -> Jsonb, pack_digest -> Nullable<Text>,
    }
}
diesel::table! {
    pushes (id) {
        id -> Uuid, repository_id -> Uuid, host -> Text, received_at -> Timestamptz,
        boot_id -> Text, pid_namespace -> Int8, pid -> Int8, start_ticks -> Int8,
        transport -> Text, client_address -> Nullable<Text>, client_agent -> Nullable<Text>,
        hook_version -> Text, pusher_issuer -> Nullable<Text>, pusher_subject -> Nullable<Text>,
        pusher_kind -> Nullable<Text>, behalf_subject -> Nullable<Text>,
        actor_chain -> Nullable<Jsonb>, token_sha256 -> Nullable<Text>,
        token_id -> Nullable<Text>, push_options -> Jsonb, policy_hash -> Text,
        ruleset_id -> Text, verdict -> Jsonb, codes -> Array<Text>, state -> Text,
        commits_total -> Int8, findings_total -> Int8, objects_scanned -> Int8,
        pack_digest -> Nullable<Text>, timings -> Jsonb, completed_at -> Nullable<Timestamptz>,
        token_issuer -> Nullable<Text>,
    }
}
diesel::table! {
    masked_pushes (push_id) {
        push_id -> Uuid, view_id -> Text, view_ruleset -> Text, updates -> Jsonb,
        pack_digest -> Nullable<Text>, made_of -> Nullable<Jsonb>,
    }
}
diesel::table! {
    untranslated_pushes (repository_id, seq) {
        repository_id -> Uuid, seq -> Int8, view_id -> Text, view_ruleset -> Text,
        updates -> Jsonb, pack_digest -> Nullable<Text>, made_of -> Nullable<Jsonb>,
    }
}
diesel::table! {
    revocations (id) {
        id -> Uuid, issuer -> Text, token_id -> Nullable<Text>, subject -> Nullable<Text>,
        revoked_at -> Timestamptz, revoked_by -> Text, reason -> Text,
    }
}
diesel::table! {
    requests (id) {
        id -> Text, repository_id -> Uuid, ref_name -> Bytea, ref_name_text -> Text,
        old_oid -> Text, new_oid -> Text, kind -> Text, push_id -> Nullable<Uuid>, actor_chain -> Jsonb,
        policy_hash -> Text, requirements -> Jsonb, digest -> Text, state -> Text,
        created_at -> Timestamptz, expires_at -> Timestamptz,
        closed_at -> Nullable<Timestamptz>, consumed_by -> Nullable<Uuid>,
        patch_series -> Nullable<Text>,
    }
}
diesel::table! {
    ref_updates (push_id, ordinal) {
        push_id -> Uuid, ordinal -> Int4, repository_id -> Uuid, ref_name -> Bytea,
        ref_name_text -> Text, target -> Bytea, claimed_old -> Text, actual_old -> Text,
        new_oid -> Text, kind -> Text, new_type -> Nullable<Text>, gained -> Int8, lost -> Int8,
        request_id -> Nullable<Text>, state -> Text, prepared_at -> Nullable<Timestamptz>,
        settled_at -> Nullable<Timestamptz>,
    }
}
diesel::table! {
    commits (push_id, ordinal) {
        push_id -> Uuid, ordinal -> Int4, oid -> Text, parents -> Array<Text>, tree -> Text,
        author -> Bytea, author_text -> Text, committer -> Bytea, message -> Bytea,
        message_text -> Text, signed -> Bool, changes_total -> Int8,
    }
}
diesel::table! {
    changes (push_id, commit_ordinal, ordinal) {
        push_id -> Uuid, commit_ordinal -> Int4, ordinal -> Int4, path -> Bytea,
        path_text -> Text, old_mode -> Text, new_mode -> Text, old_oid -> Text, new_oid -> Text,
        status -> Text, added -> Nullable<Int8>, deleted -> Nullable<Int8>, patch -> Bytea,
        patch_cut -> Bool,
    }
}
diesel::table! {
    findings (push_id, ordinal) {
        push_id -> Uuid, ordinal -> Int4, rule_id -> Text, fingerprint -> Text, place -> Text,
        object_oid -> Nullable<Text>, path -> Nullable<Bytea>, path_text -> Nullable<Text>,
        commit_oid -> Nullable<Text>, line -> Int8, column_ -> Int8, redacted -> Text,
        pre_existing -> Bool, checksum -> Nullable<Text>,
    }
}
diesel::table! {
    decisions (request_id, ordinal) {
        request_id -> Text, ordinal -> Int4, approver_issuer -> Text, approver_subject -> Text,
        approver -> Jsonb, decision -> Text, reason -> Text, digest -> Text,
        decided_at -> Timestamptz, answers -> Jsonb,
    }
}
diesel::table! {
    comments (request_id, ordinal) {
        request_id -> Text, ordinal -> Int4, author -> Jsonb, text -> Text,
        created_at -> Timestamptz,
    }
}
diesel::table! {
    grants (request_id) {
        request_id -> Text, seconds -> Int8, reason -> Text, ended_by -> Nullable<Text>,
        end_reason -> Nullable<Text>,
    }
}
diesel::table! {
    exceptions (request_id) {
        request_id -> Text, finding -> Int4, rule_id -> Text, fingerprint -> Text, place -> Text,
        path -> Nullable<Bytea>, path_text -> Nullable<Text>, paths -> Nullable<Text>,
        sort -> Text, reason -> Text, seconds -> Int8, ended_by -> Nullable<Text>,
        end_reason -> Nullable<Text>,
    }
}
diesel::table! {
    exception_uses (push_id, finding, request_id) {
        push_id -> Uuid, finding -> Int4, request_id -> Text,
    }
}
diesel::table! {
    used_tokens (issuer, token_id) {
        issuer -> Text, token_id -> Text, push_id -> Uuid, used_at -> Timestamptz,
    }
}
diesel::table! {
    events (repository_id, seq) {
        repository_id -> Uuid, seq -> Int8, recorded_at -> Timestamptz, kind -> Text,
        actor -> Text, push_id -> Nullable<Uuid>, request_id -> Nullable<Text>,
        ref_name -> Nullable<Bytea>, ref_name_text -> Nullable<Text>,
        old_oid -> Nullable<Text>, new_oid -> Nullable<Text>, codes -> Array<Text>,
        summary -> Text,
    }
}
diesel::table! {
    readings (id) {
        id -> Int8, recorded_at -> Timestamptz, reader -> Text, what -> Text, seq -> Int8,
    }
}
diesel::table! {
    log_leaves (leaf_index) {
        leaf_index -> Int8, stream -> Uuid, seq -> Int8, hash -> Bytea,
        records -> Nullable<Text>,
    }
}
diesel::table! {
    log_tiles (tile) { tile -> Int8, hashes -> Bytea, root -> Bytea, }
}
diesel::table! {
    log_checkpoints (size) { size -> Int8, recorded_at -> Timestamptz, note -> Text, }
}
diesel::table! {
    log_positions (stream) { stream -> Uuid, seq -> Int8, }
}
diesel::table! {
    sessions (id_sha256) {
        id_sha256 -> Text, actor -> Jsonb, csrf -> Text, created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}
diesel::table! {
    pending_sign_ins (state_sha256) {
        state_sha256 -> Text, verifier -> Text, nonce -> Text, return_to -> Text,
        expires_at -> Timestamptz,
    }
}
diesel::table! {
    push_facts (push_id) { push_id -> Uuid, facts -> Text, }
}
diesel::table! {
    outbox (id) {
        id -> Uuid, kind -> Text, recorded_at -> Timestamptz, repository_id -> Uuid, seq -> Int8,
        request_id -> Nullable<Text>, request_state -> Nullable<Text>, notice -> Nullable<Jsonb>,
    }
}
diesel::table! {
    deliveries (id) {
        id -> Uuid, outbox_id -> Uuid, channel -> Text, recipient -> Text, state -> Text,
        attempts -> Int4, made_at -> Timestamptz, due_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>, said -> Text,
    }
}
diesel::table! {
    people (issuer, subject) {
        issuer -> Text, subject -> Text, actor -> Jsonb, seen_at -> Timestamptz,
    }
}

diesel::table! {
    out_of_band (repository_id, seq) {
        repository_id -> Uuid, seq -> Int8, name -> Bytea, old_value -> Nullable<Bytea>,
        new_value -> Nullable<Bytea>, before_seq -> Nullable<Int8>, pack_digest -> Nullable<Text>,
    }
}
diesel::table! {
    guards (repository_id) { repository_id -> Uuid, checked_at -> Timestamptz, defects -> Array<Text>, }
}
diesel::table! {
    object_parts (digest) {
        digest -> Bytea, width -> Int2, bits -> Int2, prefix -> Int4, oids -> Bytea,
    }
}
diesel::table! {
    object_sets (digest) { digest -> Text, objects -> Int8, parts -> Array<Bytea>, }
}
diesel::table! {
    fetches (id) {
        id -> Uuid, repository_id -> Uuid, seq -> Int8, host -> Text,
        recorded_at -> Timestamptz, begun_at -> Timestamptz, ended_at -> Nullable<Timestamptz>,
        transport -> Text, client_address -> Nullable<Text>, client_agent -> Nullable<Text>,
        actor_chain -> Nullable<Jsonb>, reader_issuer -> Nullable<Text>,
        reader_subject -> Nullable<Text>, reader_kind -> Nullable<Text>,
        behalf_subject -> Nullable<Text>, token_sha256 -> Nullable<Text>, policy_hash -> Text,
        view_id -> Nullable<Text>, view_ruleset -> Nullable<Text>, refs_count -> Nullable<Int8>,
        refs_digest -> Nullable<Text>, asked -> Jsonb, ended -> Text, pack_bytes -> Int8,
        pack_objects -> Nullable<Int8>, pack_sha256 -> Nullable<Text>,
        pack_digest -> Nullable<Text>, objects -> Nullable<Text>, certainty -> Nullable<Text>,
    }
}
diesel::joinable!(deliveries -> outbox (outbox_id));
diesel::joinable!(exceptions -> requests (request_id));
diesel::allow_tables_to_appear_in_same_query!(
    repositories,
    packs,
    pack_copies,
    pack_receptions,
    pack_drops,
    holds,
    hold_releases,
    baselines,
    pushes,
    masked_pushes,
    requests,
    ref_updates,
    commits,
    changes,
    findings,
    decisions,
    comments,
    grants,
    exceptions,
    exception_uses,
    used_tokens,
    events,
    log_leaves,
    readings,
    sessions,
    pending_sign_ins,
    push_facts,
    out_of_band,
    guards,
    outbox,
    deliveries,
    people,
    object_parts,
    object_sets,
    fetches,
);
