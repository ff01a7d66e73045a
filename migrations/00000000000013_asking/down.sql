DROP INDEX events_by_kind, events_by_actor, events_by_ref, events_by_ref_end, events_by_request,
    events_by_code, events_by_number, pushes_by_kind, pushes_by_behalf, pushes_by_state,
    ref_updates_by_state, findings_by_rule, changes_by_path, changes_by_path_end;
