DROP TABLE grants;
ALTER TABLE requests DROP CONSTRAINT requests_have_a_push;
ALTER TABLE requests ALTER COLUMN push_id SET NOT NULL;
