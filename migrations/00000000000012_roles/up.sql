-- Who may do what in the database (docs/auditing.md).
--
-- The role that runs migrations owns everything. refwarden_app, as which the service runs, adds to
-- the ledger and cannot change it. refwarden_auditor reads the views of schema audit.
--
-- Ledger, only ever added to: events, readings, commits, changes, findings, decisions,
-- used_tokens, revocations, baselines, push_facts, log_leaves, log_tiles, log_checkpoints,
-- comments, out_of_band.
-- Records whose state changes, and nothing else of them: pushes, ref_updates, requests, grants,
-- repositories. Whatever belongs to a record is guarded below, column by column; how states change
-- is told by events.
-- Working state, no part of the record: everything else.

DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['refwarden_app', 'refwarden_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            -- An administrator lets it log in: ALTER ROLE refwarden_app LOGIN PASSWORD '…'
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
EXCEPTION
    -- A second service on another database of this server made it just now.
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the roles refwarden_app and refwarden_auditor are missing'
            USING HINT = 'create them as a superuser: CREATE ROLE refwarden_app; '
                'CREATE ROLE refwarden_auditor; then start the service again';
END $$;

CREATE FUNCTION ledger_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is part of the ledger, which is only added to', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$
DECLARE ledger text;
BEGIN
    FOREACH ledger IN ARRAY ARRAY['events', 'readings', 'commits', 'changes', 'findings',
        'decisions', 'used_tokens', 'revocations', 'baselines', 'push_facts', 'log_leaves',
        'log_tiles', 'log_checkpoints', 'comments', 'out_of_band']
    LOOP
        EXECUTE format('CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to()', ledger);
    END LOOP;
    FOREACH ledger IN ARRAY ARRAY['pushes', 'ref_updates', 'requests', 'repositories', 'packs',
        'grants'] LOOP
        EXECUTE format('CREATE TRIGGER not_deleted BEFORE DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to()', ledger);
    END LOOP;
END $$;

CREATE FUNCTION push_stays_what_it_was() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.id, OLD.repository_id, OLD.host, OLD.received_at, OLD.boot_id, OLD.pid_namespace,
        OLD.pid, OLD.start_ticks, OLD.transport, OLD.client_address, OLD.client_agent,
        OLD.hook_version, OLD.pusher_issuer, OLD.pusher_subject, OLD.pusher_kind,
        OLD.behalf_subject, OLD.actor_chain, OLD.token_issuer, OLD.token_sha256, OLD.token_id,
        OLD.push_options, OLD.policy_hash, OLD.ruleset_id, OLD.verdict, OLD.codes,
        OLD.commits_total, OLD.findings_total, OLD.objects_scanned, OLD.pack_digest, OLD.timings)
        IS DISTINCT FROM
        (NEW.id, NEW.repository_id, NEW.host, NEW.received_at, NEW.boot_id, NEW.pid_namespace,
        NEW.pid, NEW.start_ticks, NEW.transport, NEW.client_address, NEW.client_agent,
        NEW.hook_version, NEW.pusher_issuer, NEW.pusher_subject, NEW.pusher_kind,
        NEW.behalf_subject, NEW.actor_chain, NEW.token_issuer, NEW.token_sha256, NEW.token_id,
        NEW.push_options, NEW.policy_hash, NEW.ruleset_id, NEW.verdict, NEW.codes,
        NEW.commits_total, NEW.findings_total, NEW.objects_scanned, NEW.pack_digest, NEW.timings)
    THEN
        RAISE EXCEPTION 'of a push, only its state changes' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stays_what_it_was BEFORE UPDATE ON pushes
    FOR EACH ROW EXECUTE FUNCTION push_stays_what_it_was();

CREATE FUNCTION ref_update_stays_what_it_was() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.push_id, OLD.ordinal, OLD.repository_id, OLD.ref_name, OLD.ref_name_text, OLD.target,
        OLD.claimed_old, OLD.actual_old, OLD.new_oid, OLD.kind, OLD.new_type, OLD.gained, OLD.lost)
        IS DISTINCT FROM
        (NEW.push_id, NEW.ordinal, NEW.repository_id, NEW.ref_name, NEW.ref_name_text, NEW.target,
        NEW.claimed_old, NEW.actual_old, NEW.new_oid, NEW.kind, NEW.new_type, NEW.gained, NEW.lost)
    THEN
        RAISE EXCEPTION 'of a ref update, only its state changes'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stays_what_it_was BEFORE UPDATE ON ref_updates
    FOR EACH ROW EXECUTE FUNCTION ref_update_stays_what_it_was();

CREATE FUNCTION request_stays_what_it_was() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.id, OLD.repository_id, OLD.ref_name, OLD.old_oid, OLD.new_oid, OLD.kind, OLD.push_id,
        OLD.actor_chain, OLD.policy_hash, OLD.requirements, OLD.digest, OLD.created_at,
        OLD.patch_series)
        IS DISTINCT FROM
        (NEW.id, NEW.repository_id, NEW.ref_name, NEW.old_oid, NEW.new_oid, NEW.kind, NEW.push_id,
        NEW.actor_chain, NEW.policy_hash, NEW.requirements, NEW.digest, NEW.created_at,
        NEW.patch_series)
    THEN
        RAISE EXCEPTION 'of a request, only its state changes'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stays_what_it_was BEFORE UPDATE ON requests
    FOR EACH ROW EXECUTE FUNCTION request_stays_what_it_was();

CREATE FUNCTION repository_keeps_its_numbers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.id <> NEW.id OR NEW.next_seq < OLD.next_seq OR NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'a repository''s id stays, and its numbers only grow'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keeps_its_numbers BEFORE UPDATE ON repositories
    FOR EACH ROW EXECUTE FUNCTION repository_keeps_its_numbers();

-- What auditors read with SQL. Reading here is not recorded: reading through the service is.
CREATE SCHEMA audit;
CREATE VIEW audit.repositories AS SELECT * FROM repositories;
CREATE VIEW audit.events AS SELECT * FROM events;
CREATE VIEW audit.readings AS SELECT * FROM readings;
CREATE VIEW audit.pushes AS SELECT * FROM pushes;
CREATE VIEW audit.ref_updates AS SELECT * FROM ref_updates;
CREATE VIEW audit.commits AS SELECT * FROM commits;
CREATE VIEW audit.changes AS SELECT * FROM changes;
CREATE VIEW audit.findings AS SELECT * FROM findings;
CREATE VIEW audit.requests AS SELECT * FROM requests;
CREATE VIEW audit.decisions AS SELECT * FROM decisions;
CREATE VIEW audit.comments AS SELECT * FROM comments;
CREATE VIEW audit.grants AS SELECT * FROM grants;
CREATE VIEW audit.out_of_band AS SELECT * FROM out_of_band;
CREATE VIEW audit.revocations AS SELECT * FROM revocations;
CREATE VIEW audit.log_leaves AS SELECT * FROM log_leaves;
CREATE VIEW audit.log_checkpoints AS SELECT * FROM log_checkpoints;
GRANT USAGE ON SCHEMA audit TO refwarden_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO refwarden_auditor;

DO $$
DECLARE relation text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO refwarden_app', current_schema());
    EXECUTE format('GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA %I TO refwarden_app',
        current_schema());
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO refwarden_app', current_schema());
    FOREACH relation IN ARRAY ARRAY['pushes', 'ref_updates', 'requests', 'repositories', 'grants'] LOOP
        EXECUTE format('GRANT UPDATE ON %I TO refwarden_app', relation);
    END LOOP;
    FOREACH relation IN ARRAY ARRAY['sessions', 'pending_sign_ins', 'outbox', 'deliveries',
        'people', 'log_positions', 'reading_numbers', 'guards']
    LOOP
        EXECUTE format('GRANT UPDATE, DELETE ON %I TO refwarden_app', relation);
    END LOOP;
    IF to_regclass('__diesel_schema_migrations') IS NOT NULL THEN
        REVOKE INSERT ON __diesel_schema_migrations FROM refwarden_app;
    END IF;
END $$;

-- Tables of later migrations are working state unless their migration says otherwise.
ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO refwarden_app;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO refwarden_app;
