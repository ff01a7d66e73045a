DROP FUNCTION pack_is_held(text);
DROP VIEW pack_references;
DROP VIEW audit.holds, audit.hold_releases;
DROP INDEX pack_copies_by_time;
DROP TABLE hold_releases, holds;
