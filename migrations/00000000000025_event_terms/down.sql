DROP FUNCTION make_event_terms;
DROP TABLE event_terms_made, event_values, event_term_blocks, event_terms;
DROP FUNCTION term_hash, name_hash;
