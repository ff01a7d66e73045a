DROP FUNCTION event_records(text, uuid, text, timestamptz);
DROP FUNCTION request_records(text, timestamptz);
DROP FUNCTION push_records(uuid);
DROP TABLE log_positions, log_checkpoints, log_tiles, log_leaves, reading_numbers;
ALTER TABLE readings DROP COLUMN seq;
