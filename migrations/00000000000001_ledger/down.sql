DROP TABLE pending_sign_ins, sessions, readings, events, used_tokens, decisions, findings,
    changes, commits, ref_updates, requests, pushes, baselines, packs, repositories;
