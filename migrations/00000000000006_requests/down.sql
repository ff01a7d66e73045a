DROP INDEX ref_updates_by_request;
DROP TABLE comments;
ALTER TABLE decisions DROP COLUMN answers;
ALTER TABLE requests DROP COLUMN patch_series;
