DROP VIEW audit.pack_copies, audit.pack_receptions, audit.pack_drops;
DROP INDEX pushes_by_pack, baselines_by_pack, out_of_band_by_pack;
DROP TABLE pack_drops, pack_receptions;
ALTER TABLE packs ADD COLUMN location text;
ALTER TABLE packs DISABLE TRIGGER USER;
UPDATE packs SET location = (SELECT location FROM pack_copies AS copies
    WHERE copies.digest = packs.digest ORDER BY copy DESC LIMIT 1);
ALTER TABLE packs ENABLE TRIGGER USER;
ALTER TABLE packs ALTER COLUMN location SET NOT NULL;
DROP TABLE pack_copies;
