DROP INDEX ref_updates_prepared;
DROP TABLE guards;
DROP TABLE out_of_band;
