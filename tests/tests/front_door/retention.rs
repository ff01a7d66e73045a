//! Packs are dropped after their days, records stay, and holds keep what they name.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use refwarden_testkit::{Outcome, RawPush, Repository, Stack, Via, run, until, within};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::masked::{configured, planted};
use crate::shared::{replay, secret};
use crate::unmasked::{fresh, pack_of, write};

const DEADLINE: Duration = Duration::from_secs(30);

/// Runs SQL as the superuser, past every trigger.
#[track_caller]
fn psql(stack: &Stack, statements: &str) -> String {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-t", "-A", "-1", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(format!(
            "SET session_replication_role = replica; {statements}"
        ))
        .arg(&stack.started().database_url);
    run(command, b"").passes().text()
}

/// Files that hold the packs of a repository's pushes and baselines, oldest first.
fn files(repository: &Repository<'_>) -> Vec<PathBuf> {
    let rows = psql(
        repository.stack,
        &format!(
            "SELECT location FROM pack_references AS used JOIN pack_copies USING (digest) \
             JOIN repositories AS r ON r.id = used.repository_id WHERE r.name = '{}' \
             GROUP BY location, copy, came_at ORDER BY came_at, copy",
            repository.name
        ),
    );
    let packs = repository.stack.directory().join("packs");
    rows.lines().map(|line| packs.join(line)).collect()
}

fn pushed<'a>(stack: &'a Stack, name: &str) -> Repository<'a> {
    // Packs that no other repository has: what is shared is kept while one of them keeps it.
    let repository = Repository::empty(stack, name, "sha1");
    let work = repository.work();
    work.commit(&[(b"README", name.as_bytes())], "Begin");
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    work.commit(&[(b"a", name.as_bytes())], "A");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    repository
}

fn dropped(repository: &Repository<'_>) -> usize {
    let events = repository.stack.api("audrey").events(&repository.name);
    events
        .iter()
        .filter(|event| event.kind == "pack.dropped")
        .count()
}

#[track_caller]
fn hold(stack: &Stack, arguments: &[&str]) -> Outcome {
    stack.refwarden(&[&["audit", "hold"], arguments].concat())
}

#[track_caller]
fn id_of(outcome: &Outcome) -> String {
    let said: Value = serde_json::from_str(&outcome.text()).unwrap();
    said["id"].as_str().unwrap().to_owned()
}

#[test]
fn old_packs_go_records_stay_and_holds_keep() {
    let mut stack = Stack::start();
    let refused = secret(7201);
    {
        let old = pushed(&stack, "old");
        let work = old.work();
        work.commit(&[(b"s", refused.as_bytes())], "S");
        work.push(Via::Local, &["HEAD:refs/heads/other"])
            .fails(&["RW301"]);
        pushed(&stack, "kept");
        let one = pushed(&stack, "one");
        let events = stack.api("audrey").events("one");
        let push = events.iter().find_map(|event| event.push_id).unwrap();
        hold(&stack, &["add", "--reason", "Nothing"]).fails(&["repository, a push or a period"]);
        hold(&stack, &["add", "--repository", "kept", "--reason", " "]).fails(&["reason"]);
        hold(
            &stack,
            &["add", "--push", &push.to_string(), "--reason", "Case 1"],
        )
        .passes();
        drop(one);

        psql(
            &stack,
            "UPDATE pack_receptions SET received_at = received_at - interval '2 days'; \
             UPDATE pack_copies SET stored_at = stored_at - interval '2 days'",
        );
        let work = old.work();
        work.commit(&[(b"young", b"y\n")], "Young");
        work.push(Via::Local, &["HEAD:refs/heads/young"]).passes();
    }
    let kept_by = [
        "add",
        "--repository",
        "kept",
        "--reason",
        "Case 2",
        "--json",
    ];
    let case = id_of(&hold(&stack, &kept_by).passes());
    hold(&stack, &["list"])
        .passes()
        .says(&["Case 1", "Case 2", "packs of kept"]);

    let config = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[retention]\npacks_days = 1\n")).unwrap();
    stack.restart();
    let named = |name: &str| Repository::named(&stack, name);
    let (old, kept, one) = (named("old"), named("kept"), named("one"));
    // Baseline, push and refused push; of `one`, all but the push that is held.
    within("packs are dropped", DEADLINE, || {
        dropped(&old) == 3 && dropped(&one) == 1
    });
    let there = |repository: &Repository<'_>| -> Vec<bool> {
        files(repository).iter().map(|file| file.exists()).collect()
    };
    within("files are gone", DEADLINE, || {
        there(&old) == [false, false, false, true]
    });
    within("files are gone", DEADLINE, || there(&one) == [false, true]);
    assert_eq!(there(&kept), [true, true]);
    assert_eq!(dropped(&kept), 0);

    replay(&kept).passes();
    replay(&old).fails(&[
        "dropped by retention",
        "after 1 day(s)",
        "backup of the pack store",
    ]);
    let digest = psql(
        &stack,
        "SELECT digest FROM pack_drops ORDER BY dropped_at LIMIT 1",
    );
    let answer = stack.api("audrey").get(&format!("/packs/{digest}"));
    assert_eq!(answer.status().as_u16(), 410);
    assert!(answer.text().unwrap().contains("dropped by retention"));
    stack
        .refwarden(&["audit", "verify"])
        .passes()
        .says(&["Whole:"]);

    // What comes again is kept again.
    let work = old.work();
    let before = files(&old).len();
    work.commit(&[(b"again", refused.as_bytes())], "Again");
    work.push(Via::Local, &["HEAD:refs/heads/other"])
        .fails(&["RW301"]);
    assert_eq!(files(&old).len(), before + 1);

    hold(&stack, &["remove", &case, "--reason", "Closed"]).passes();
    hold(&stack, &["remove", &case, "--reason", "Closed"]).fails(&["released already"]);
    hold(&stack, &["list"]).passes().says(&["Case 1"]);
    let events = stack.api("audrey").events("kept");
    let of_holds: Vec<&str> = events
        .iter()
        .map(|event| event.kind.as_str())
        .filter(|kind| kind.starts_with("hold."))
        .collect();
    assert_eq!(of_holds, ["hold.placed", "hold.released"]);
    drop((old, kept, one));
    stack.restart();
    let kept = Repository::named(&stack, "kept");
    within("the released packs are dropped", DEADLINE, || {
        dropped(&kept) == 2
    });
    until("their files are gone", DEADLINE, || {
        files(&kept).iter().all(|file| !file.exists()).then_some(())
    });
}

/// What a masked clone has pushed: the push with its client's pack, and the client's pack of one that
/// could not be translated.
struct Sent {
    push: String,
    translated: String,
    refused: String,
}

/// Pushes from a masked clone, once well and once not.
#[track_caller]
fn sent(repository: &Repository<'_>) -> Sent {
    let stack = repository.stack;
    let clone = fresh(repository);
    let send = |name: &[u8], commit: &str| {
        let pack = pack_of(&clone, commit);
        let digest = hex::encode(Sha256::digest(&pack));
        let raw = RawPush::one(&repository.zero(), commit, name, pack);
        let report = raw.send_http(&repository.http_url(), &stack.token("ada"));
        (digest, report.all_taken())
    };
    let shown = clone.read("conf/app");
    let good = write(&clone, "b", &format!("{}\n", repository.name), "Good");
    let (translated, taken) = send(b"refs/heads/good", &good);
    assert!(taken, "{}", repository.name);
    let copied = write(&clone, "README", &shown, "Copied");
    let (refused, taken) = send(b"refs/heads/copied", &copied);
    assert!(!taken, "{}", repository.name);
    let events = stack.api("audrey").events(&repository.name);
    let released = events.iter().find(|it| it.kind == "push.released").unwrap();
    Sent {
        push: released.push_id.unwrap().to_string(),
        translated,
        refused,
    }
}

/// Whether the file with a pack is there.
#[track_caller]
fn is_kept(stack: &Stack, digest: &str) -> bool {
    let asked = format!("SELECT location FROM pack_copies WHERE digest = '{digest}'");
    let location = psql(stack, &asked);
    assert!(!location.is_empty(), "{digest}");
    let packs = stack.directory().join("packs");
    packs.join(location.trim_end()).exists()
}

#[test]
fn packs_of_masked_clones_are_dropped_and_held_like_any_other() {
    let mut stack = configured(str::to_owned, "");
    let plant = |name: &str, seed| sent(&planted(&stack, name, "sha1", seed));
    let gone = plant("clients-gone", 7210);
    let kept = plant("clients-kept", 7220);
    let one = plant("clients-one", 7230);
    for sent in [&gone, &kept, &one] {
        assert!(is_kept(&stack, &sent.translated) && is_kept(&stack, &sent.refused));
    }
    let of_kept = ["--repository", "clients-kept"];
    for what in [of_kept, ["--push", &one.push]] {
        hold(&stack, &[&["add", "--reason", "Case"], &what[..]].concat()).passes();
    }
    psql(
        &stack,
        "UPDATE pack_receptions SET received_at = received_at - interval '2 days'; \
         UPDATE pack_copies SET stored_at = stored_at - interval '2 days'",
    );
    let config = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[retention]\npacks_days = 1\n")).unwrap();
    stack.restart();
    // A hold on a push keeps both of its packs, and not that of another one.
    within("packs are dropped", DEADLINE, || {
        let all = [&gone.translated, &gone.refused, &one.refused];
        all.into_iter().all(|digest| !is_kept(&stack, digest))
    });
    for digest in [&kept.translated, &kept.refused, &one.translated] {
        assert!(is_kept(&stack, digest), "{digest}");
    }
    let events = stack.api("audrey").events("clients-gone");
    let dropped: Vec<_> = events
        .iter()
        .filter(|it| it.kind == "pack.dropped")
        .collect();
    for digest in [&gone.translated, &gone.refused] {
        let told = dropped.iter().any(|it| it.summary.contains(&**digest));
        assert!(told, "{digest}: {dropped:#?}");
        let answer = stack.api("audrey").get(&format!("/packs/{digest}"));
        assert_eq!(answer.status().as_u16(), 410);
    }
    stack
        .refwarden(&["audit", "verify"])
        .passes()
        .says(&["Whole:"]);
}

#[test]
fn only_auditors_place_holds_and_agents_never() {
    let stack = crate::shared::stack();
    let _ = pushed(stack, "retention-access");
    let body = serde_json::json!({ "repository": "retention-access", "reason": "Mine" });
    for (client, person) in [("operator", "ada"), ("agent", "audrey")] {
        let token = stack.token_as(client, person, "10m");
        let api = refwarden_testkit::Api::new(&stack.started().service_url, &token);
        assert_eq!(api.post("/holds", &body).0, 403, "{client} {person}");
        assert_eq!(api.get("/holds").status().as_u16(), 403);
        assert_eq!(
            api.get("/bundle?since=2026-01-01T00:00:00Z")
                .status()
                .as_u16(),
            403
        );
    }
}
