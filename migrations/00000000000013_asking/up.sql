-- What the grammar of `refwarden audit --query` asks for (docs/auditing.md). Patterns become
-- anchored regular expressions, of which text_pattern_ops serves those that begin with letters;
-- those that end with letters are held against the text from behind. Git bounds neither names nor
-- paths, and an entry of an index is at most some 2700 bytes: hence left(…, 255).
CREATE INDEX events_by_kind ON events (kind text_pattern_ops, recorded_at);
CREATE INDEX events_by_actor ON events (left(actor, 255) text_pattern_ops, recorded_at);
CREATE INDEX events_by_ref ON events (left(ref_name_text, 255) text_pattern_ops, recorded_at)
    WHERE ref_name_text IS NOT NULL;
CREATE INDEX events_by_ref_end ON events (left(reverse(ref_name_text), 255) text_pattern_ops,
    recorded_at)
    WHERE ref_name_text IS NOT NULL;
CREATE INDEX events_by_request ON events (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX events_by_code ON events USING gin (codes);
CREATE INDEX events_by_number ON events (seq);
CREATE INDEX pushes_by_kind ON pushes (pusher_kind, received_at);
CREATE INDEX pushes_by_behalf ON pushes (left(behalf_subject, 255) text_pattern_ops, received_at)
    WHERE behalf_subject IS NOT NULL;
CREATE INDEX pushes_by_state ON pushes (state, received_at);
CREATE INDEX ref_updates_by_state ON ref_updates (state, push_id);
CREATE INDEX findings_by_rule ON findings (rule_id text_pattern_ops, push_id);
CREATE INDEX changes_by_path ON changes (left(path_text, 255) text_pattern_ops, push_id);
CREATE INDEX changes_by_path_end ON changes (left(reverse(path_text), 255) text_pattern_ops, push_id);
