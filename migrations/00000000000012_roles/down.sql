ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM refwarden_app;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM refwarden_app;
DROP SCHEMA audit CASCADE;
DROP FUNCTION ledger_is_only_added_to() CASCADE;
DROP FUNCTION push_stays_what_it_was() CASCADE;
DROP FUNCTION ref_update_stays_what_it_was() CASCADE;
DROP FUNCTION request_stays_what_it_was() CASCADE;
DROP FUNCTION repository_keeps_its_numbers() CASCADE;
-- Roles belong to the whole server, and stay; what they were given here goes with the tables.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM refwarden_app;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM refwarden_app;
