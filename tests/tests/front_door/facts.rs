//! The facts about git that docs/decisions and the hooks rest on, each with what Refwarden
//! makes of it. Their numbers are those of the design's list.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use refwarden_testkit::{Git, Objects, RawPush, Report, Repository, Via, within};

use crate::reconcile::reconcile;
use crate::shared::{approve, count, for_programs, kinds, replay, request_of, secret, stack};

fn pusher() -> Git {
    stack().git().with("REFWARDEN_TOKEN", &stack().token("ada"))
}

/// Sends a raw push over both ways that a raw client has; both must say the same.
#[track_caller]
fn both(repository: &Repository<'_>, push: &RawPush, check: impl Fn(&Report)) {
    check(&push.send_local(&pusher(), &repository.path));
    check(&push.send_http(&repository.http_url(), &stack().token("ada")));
}

/// Puts a shell script in front of a hook. `$REAL` is the hook itself; `forward INPUT ARGUMENTS`
/// runs it with another input, in place of the script: its parent tells which push it is of.
fn wrap(repository: &Path, hook: &str, script: &str) {
    let hook = repository.join("hooks").join(hook);
    let real = hook.with_extension("real");
    std::fs::rename(&hook, &real).unwrap();
    let real = real.display();
    let script = format!(
        r#"#!/bin/sh
REAL='{real}'
forward() {{
    t=$(mktemp) && printf '%s\n' "$1" >"$t" && exec <"$t" && rm "$t" && shift && exec "$REAL" "$@"
}}
{script}
"#
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A repository with the branch `topic` at its first commit; that commit, and objects beside it.
fn with_topic(name: &str) -> (Repository<'static>, String, Objects) {
    let repository = Repository::guarded(stack(), name);
    let work = repository.work();
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    let begin = work.git(&["rev-parse", "HEAD"]);
    let objects = Objects::beside(stack().git(), &repository.path, "sha1");
    (repository, begin, objects)
}

#[test]
fn fact_01_a_delete_that_lies_about_the_old_oid_is_refused() {
    let (repository, begin, _objects) = with_topic("fact-01");
    let zero = repository.zero();
    let nowhere = "1".repeat(40);
    for old in [&zero, &nowhere] {
        for name in ["refs/heads/topic", "refs/heads/main"] {
            let push = RawPush::one(old, &zero, name.as_bytes(), vec![]).capable("delete-refs");
            both(&repository, &push, |report| {
                report.refuses(&["RW402", name]);
            });
            assert_eq!(repository.value(name).as_ref(), Some(&begin));
        }
    }
    // The truth passes where policy allows it.
    let push = RawPush::one(&begin, &zero, b"refs/heads/topic", vec![]).capable("delete-refs");
    assert!(push.send_local(&pusher(), &repository.path).all_taken());
    assert_eq!(count(&repository, "ref.committed", "refs/heads/topic"), 2);
}

#[test]
fn fact_02_what_moved_before_a_later_ref_failed_is_recorded() {
    let (repository, begin, objects) = with_topic("fact-02");
    let tree = objects.tree(&[]);
    let new = objects.commit(&tree, &[&begin], b"New");
    let pack = objects.pack(&[&new, &tree]);
    let zero = repository.zero();
    // `topic` is a file, so `topic/below` cannot be made.
    let push = RawPush::one(&zero, &new, b"refs/heads/first", pack)
        .and(&zero, &new, b"refs/heads/topic/below")
        .and(&zero, &new, b"refs/heads/last");
    let report = push.send_local(&pusher(), &repository.path);
    let taken = |name: &str| repository.value(name).is_some();
    assert!(
        taken("refs/heads/first") && !taken("refs/heads/topic/below"),
        "{report:#?}"
    );
    for name in [
        "refs/heads/first",
        "refs/heads/topic/below",
        "refs/heads/last",
    ] {
        let recorded = count(&repository, "ref.committed", name) == 1;
        assert_eq!(recorded, taken(name), "{name}: {:#?}", kinds(&repository));
    }
    replay(&repository).passes();
}

#[test]
fn fact_02_a_veto_of_a_later_ref_leaves_the_earlier_one_recorded() {
    let (repository, begin, objects) = with_topic("fact-02-veto");
    // Another hook vetoes the second ref: receive-pack dies, post-receive never runs.
    let veto = r#"input=$(cat); case "$1 $input" in
        "prepared "*refs/heads/second*) exit 1;; esac
        forward "$input" "$@""#;
    wrap(&repository.path, "reference-transaction", veto);
    let tree = objects.tree(&[]);
    let new = objects.commit(&tree, &[&begin], b"New");
    let pack = objects.pack(&[&new, &tree]);
    let zero = repository.zero();
    let push =
        RawPush::one(&zero, &new, b"refs/heads/first", pack).and(&zero, &new, b"refs/heads/second");
    push.send_local(&pusher(), &repository.path);
    assert_eq!(repository.value("refs/heads/first"), Some(new));
    assert_eq!(repository.value("refs/heads/second"), None);
    assert_eq!(count(&repository, "ref.prepared", "refs/heads/first"), 1);
    reconcile(&repository);
    assert_eq!(count(&repository, "ref.committed", "refs/heads/first"), 1);
    assert_eq!(count(&repository, "ref.committed", "refs/heads/second"), 0);
    replay(&repository).passes();
}

#[test]
fn fact_03_what_committed_lists_is_looked_up_and_not_believed() {
    let (repository, begin, objects) = with_topic("fact-03");
    let tree = objects.tree(&[]);
    let new = objects.commit(&tree, &[&begin], b"New");
    let pack = objects.pack(&[&new, &tree]);
    let zero = repository.zero();
    // As git 2.51 and newer do, the list names a ref that was rejected: its lock is taken.
    let lie = format!(
        r#"input=$(cat); if [ "$1" = committed ]; then input="$input
{zero} {new} refs/heads/locked"; fi
        forward "$input" "$@""#
    );
    wrap(&repository.path, "reference-transaction", &lie);
    std::fs::write(repository.path.join("refs/heads/locked.lock"), "").unwrap();
    let push =
        RawPush::one(&zero, &new, b"refs/heads/free", pack).and(&zero, &new, b"refs/heads/locked");
    push.send_local(&pusher(), &repository.path);
    assert_eq!(repository.value("refs/heads/free"), Some(new));
    assert_eq!(repository.value("refs/heads/locked"), None);
    assert_eq!(count(&repository, "ref.committed", "refs/heads/free"), 1);
    assert_eq!(count(&repository, "ref.committed", "refs/heads/locked"), 0);
    replay(&repository).passes();
}

#[test]
fn fact_04_housekeeping_passes_and_is_no_move() {
    let (repository, begin, _objects) = with_topic("fact-04");
    let before = kinds(&repository);
    let refs = repository.refs();
    repository.git(&["pack-refs", "--all"]).passes();
    repository.git(&["gc", "-q"]).passes();
    repository.git(&["pack-refs", "--all", "--prune"]).passes();
    assert_eq!(repository.refs(), refs);
    assert_eq!(kinds(&repository), before);
    // A packed ref is deleted, made anew and deleted again like any other.
    let work = repository.work();
    work.push(Via::Local, &[":refs/heads/topic"]).passes();
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    repository.git(&["pack-refs", "--all"]).passes();
    work.push(Via::Http, &[":refs/heads/topic"]).passes();
    assert_eq!(repository.value("refs/heads/topic"), None);
    assert_eq!(repository.value("refs/heads/main"), Some(begin));
    assert_eq!(count(&repository, "ref.committed", "refs/heads/topic"), 4);
    replay(&repository).passes();
}

#[test]
fn fact_04_an_administrator_moves_no_ref_behind_the_records() {
    let (repository, begin, objects) = with_topic("fact-04-admin");
    let new = objects.commit(&objects.tree(&[]), &[&begin], b"New");
    let pack = objects.pack(&[&new, &objects.tree(&[])]);
    let unpack = ["unpack-objects", "-q"];
    stack()
        .git()
        .feed(&repository.path, &unpack, &pack)
        .passes();
    for name in ["refs/heads/main", "refs/heads/topic", "refs/heads/fresh"] {
        let before = repository.value(name);
        repository
            .git(&["update-ref", name, &new])
            .fails(&["RW403"]);
        assert_eq!(repository.value(name), before);
    }
    repository
        .git(&["update-ref", "-d", "refs/heads/topic"])
        .fails(&["RW403"]);
    repository.git(&["branch", "-D", "topic"]).fails(&["RW403"]);
    assert_eq!(repository.value("refs/heads/topic"), Some(begin));
}

#[test]
fn fact_05_a_push_past_missing_hooks_is_found_by_replay() {
    let (repository, _begin, _objects) = with_topic("fact-05");
    replay(&repository).passes();
    for hook in ["pre-receive", "reference-transaction", "post-receive"] {
        std::fs::remove_file(repository.path.join("hooks").join(hook)).unwrap();
    }
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "Unseen");
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/topic"]);
    let differs = replay(&repository);
    assert_eq!(differs.code, Some(1), "{differs}");
    differs.says(&["refs/heads/topic"]);
    // Putting the hooks back records what is there now.
    repository.install().passes();
    replay(&repository).passes();
}

#[test]
fn fact_06_a_line_feed_in_a_ref_name_forges_nothing() {
    let (repository, begin, objects) = with_topic("fact-06");
    let before = repository.refs();
    let zero = repository.zero();
    for name in [
        format!("refs/heads/x\n{begin} {zero} refs/heads/topic"),
        format!("refs/heads/x\n{zero} {begin} refs/heads/forged"),
        "refs/heads/x\n".to_owned(),
        "refs/heads/x\n\n".to_owned(),
    ] {
        let push = RawPush::one(&zero, &begin, name.as_bytes(), objects.pack(&[&begin]));
        both(&repository, &push, |report| {
            assert_eq!(report.unpack.as_deref(), Some("ok"), "{report:?}");
            report.refuses(&[]);
        });
        assert_eq!(repository.refs(), before, "{name:?}");
    }
    assert_eq!(count(&repository, "ref.committed", "refs/heads/forged"), 0);
    replay(&repository).passes();
    // What the hook refuses by itself stands in the record too.
    let events = repository.stack.api("audrey").events(&repository.name);
    let refused = events.iter().filter(|event| event.kind == "push.refused");
    assert_eq!(refused.clone().count(), 4, "{events:#?}");
    assert!(refused.clone().all(|event| event.codes == ["RW401"]));
}

#[test]
fn fact_07_a_symbolic_ref_does_not_hide_what_it_names() {
    let repository = Repository::unguarded(stack(), "fact-07", "sha1");
    repository
        .git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"])
        .passes();
    repository.install().passes();
    let work = repository.work();
    let begin = repository.value("refs/heads/main");
    let new = work.commit(&[(b"a", b"a\n")], "A");
    let refused = work.push(Via::Local, &["HEAD:refs/heads/alias"]);
    let refused = refused.fails(&["RW201"]);
    assert_eq!(repository.value("refs/heads/main"), begin);
    approve(stack(), &request_of(&refused));
    work.push(Via::Local, &["HEAD:refs/heads/alias"]).passes();
    assert_eq!(repository.value("refs/heads/main"), Some(new));
    assert_eq!(count(&repository, "ref.committed", "refs/heads/main"), 1);
    replay(&repository).passes();
    work.push(Via::Local, &[":refs/heads/alias"]).fails(&["RW"]);
    assert!(repository.value("refs/heads/main").is_some());
}

#[test]
fn fact_08_a_client_that_disappears_leaves_record_and_ref_agreed() {
    let (repository, begin, objects) = with_topic("fact-08");
    let tree = objects.tree(&[]);
    for (round, kind) in ["local", "http"].into_iter().enumerate() {
        let name = format!("refs/heads/gone-{kind}");
        let new = objects.commit(&tree, &[&begin], format!("Gone {round}").as_bytes());
        let pack = objects.pack(&[&new, &tree]);
        let push = RawPush::one(&repository.zero(), &new, name.as_bytes(), pack);
        match kind {
            "local" => hang_up_local(&push, &repository),
            _ => hang_up_http(&push, &repository),
        }
        // The push lands or does not; either way it ends, and the ledger says the same.
        let settled = || {
            if busy(&repository.path) {
                return false;
            }
            reconcile(&repository);
            let all = kinds(&repository);
            let mine = |wanted: &str| {
                all.iter()
                    .any(|(it, of)| it == wanted && of.as_deref() == Some(name.as_str()))
            };
            mine("ref.committed") == repository.value(&name).is_some()
        };
        within("record and ref agree", Duration::from_secs(20), settled);
    }
    replay(&repository).passes();
}

/// Whether a git process works in the repository.
fn busy(repository: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let at = |process: std::fs::DirEntry| std::fs::read_link(process.path().join("cwd")).ok();
    processes
        .filter_map(at)
        .any(|directory| directory == repository)
}

fn hang_up_local(push: &RawPush, repository: &Repository<'_>) {
    use std::io::Write as _;
    let mut child = pusher()
        .command(&repository.path)
        .args(["receive-pack", "."])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&push.bytes()).unwrap();
    drop(stdin);
    drop(child.stdout.take());
    child.wait().unwrap();
}

fn hang_up_http(push: &RawPush, repository: &Repository<'_>) {
    use base64::Engine as _;
    use std::io::Write as _;
    let url = repository.http_url();
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let credential = format!("x:{}", stack().token("ada"));
    let credential = base64::engine::general_purpose::STANDARD.encode(credential);
    let body = push.bytes();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /{path}/git-receive-pack HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: Basic {credential}\r\nContent-Length: {}\r\n\
         Content-Type: application/x-git-receive-pack-request\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
}

#[test]
fn fact_09_a_killed_push_moves_nothing_unrecorded() {
    for (name, hook, script) in [
        ("fact-09-receive", "pre-receive", "kill -9 $PPID"),
        (
            "fact-09-prepared",
            "reference-transaction",
            r#"if [ "$1" = prepared ]; then "$REAL" "$@"; kill -9 $PPID; exit 1; fi; exec "$REAL" "$@""#,
        ),
    ] {
        let (repository, begin, objects) = with_topic(name);
        wrap(&repository.path, hook, script);
        let tree = objects.tree(&[]);
        let new = objects.commit(&tree, &[&begin], b"New");
        let push = RawPush::one(
            &begin,
            &new,
            b"refs/heads/topic",
            objects.pack(&[&new, &tree]),
        );
        let report = push.send_local(&pusher(), &repository.path);
        assert!(!report.all_taken(), "{report:#?}");
        assert_eq!(
            repository.value("refs/heads/topic"),
            Some(begin.clone()),
            "{name}"
        );
        // Only the push of `with_topic` is committed.
        assert_eq!(
            count(&repository, "ref.committed", "refs/heads/topic"),
            1,
            "{name}"
        );
        replay(&repository).passes();
    }
}

#[test]
fn fact_10_what_was_discarded_is_still_in_the_records() {
    let (repository, begin, _objects) = with_topic("fact-10");
    let work = repository.work();
    let lost = work.commit(&[(b"lost", b"soon\n")], "Soon lost");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    let seq = stack().api("audrey").events("fact-10").last().unwrap().seq;
    work.push(
        Via::Local,
        &["--force", &format!("{begin}:refs/heads/topic")],
    )
    .passes();
    work.push(Via::Local, &[":refs/heads/topic"]).passes();
    repository
        .git(&["reflog", "expire", "--expire=now", "--all"])
        .passes();
    repository.git(&["gc", "-q", "--prune=now"]).passes();
    assert!(!repository.git(&["cat-file", "-e", &lost]).ok());
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("r.git").display().to_string();
    let at = format!("seq:{seq}");
    stack()
        .refwarden(&["replay", "fact-10", "--at", &at, "--into", &into])
        .passes();
    let git = stack().git();
    assert_eq!(
        git.text(into.as_ref(), &["rev-parse", "refs/heads/topic"]),
        lost
    );
    assert_eq!(git.text(into.as_ref(), &["show", "topic:lost"]), "soon");
}

#[test]
fn fact_11_odd_ref_names_are_recorded_exactly_and_shown_escaped() {
    let (repository, begin, objects) = with_topic("fact-11");
    let tree = objects.tree(&[]);
    for (index, name) in [
        &b"refs/heads/--upload-pack=x"[..],
        b"refs/heads/$(id)",
        b"refs/heads/<script>alert(1)</script>",
        b"refs/heads/\xff\xfe",
        b"refs/notes/commits",
    ]
    .into_iter()
    .enumerate()
    {
        let new = objects.commit(&tree, &[&begin], format!("Odd {index}").as_bytes());
        let push = RawPush::one(&repository.zero(), &new, name, objects.pack(&[&new, &tree]));
        let report = push.send_local(&pusher(), &repository.path);
        assert!(report.all_taken(), "{report:#?}");
        let printable = |byte: u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
        assert!(report.messages.bytes().all(printable), "{report:#?}");
    }
    // What nobody can see, or what turns the reading direction, is refused by name.
    for name in ["refs/heads/\u{202e}txt", "refs/heads/\u{9b}31m"] {
        let name = name.as_bytes();
        let push = RawPush::one(&repository.zero(), &begin, name, objects.pack(&[&tree]));
        let report = push.send_local(&pusher(), &repository.path);
        assert!(report.messages.contains("RW204"), "{report:#?}");
        assert!(report.messages.is_ascii(), "{report:#?}");
    }
    // A replace ref makes git show another object than the one that is named.
    let push = RawPush::one(
        &repository.zero(),
        &begin,
        format!("refs/replace/{begin}").as_bytes(),
        objects.pack(&[&tree]),
    );
    push.send_local(&pusher(), &repository.path)
        .refuses(&["RW204"]);
    replay(&repository).passes();
}

#[test]
fn fact_12_a_push_id_from_outside_ties_nothing_together() {
    let repository = Repository::guarded(stack(), "fact-12");
    let work = repository.work();
    let begin = repository.value("refs/heads/main");
    work.commit(&[(b"a", b"a\n")], "A");
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    approve(stack(), &request_of(&refused));
    // The same label on a push that nobody approved.
    let id = "01890000-0000-7000-8000-00000000000a";
    let mut labelled = repository.work();
    labelled.git = labelled.git.with("REFWARDEN_PUSH_ID", id);
    labelled.commit(&[(b"b", b"b\n")], "B");
    labelled.push(Via::Local, &["HEAD:refs/heads/one"]).passes();
    labelled
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    labelled.push(Via::Local, &["HEAD:refs/heads/two"]).passes();
    assert_eq!(repository.value("refs/heads/main"), begin);
    let events = stack().api("audrey").events("fact-12");
    let pushes: std::collections::BTreeSet<_> = events
        .iter()
        .filter(|event| event.kind == "ref.committed")
        .map(|event| event.push_id)
        .collect();
    assert_eq!(pushes.len(), 2, "{events:#?}");
}

#[test]
fn fact_13_a_refusal_is_said_and_not_hung_up() {
    let repository = Repository::guarded(stack(), "fact-13");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    for via in [Via::Local, Via::Http] {
        let refused = work.push(via, &["HEAD:refs/heads/main"]).fails(&["RW201"]);
        assert!(!refused.said().contains("hung up"), "{refused}");
        let remote: Vec<_> = refused.said().lines().map(ToOwned::to_owned).collect();
        let remote: Vec<_> = remote
            .iter()
            .filter(|line| line.starts_with("remote:"))
            .collect();
        assert!(remote.len() <= 14, "{remote:#?}");
        assert!(for_programs(&refused.said())["code"] == "RW201");
    }
}

#[test]
fn fact_14_what_is_in_quarantine_is_seen_in_both_formats() {
    for format in ["sha1", "sha256"] {
        let name = format!("fact-14-{format}");
        let repository = Repository::unguarded(stack(), &name, format);
        let installed = repository.install();
        if !installed.ok() {
            // Refused in plain words, and nothing is half done.
            assert_eq!(format, "sha256", "{installed}");
            let installed = installed.says(&["sha256"]);
            assert_eq!(installed.code, Some(1), "{installed}");
            assert!(!repository.path.join("hooks/pre-receive").exists());
            continue;
        }
        let work = repository.work();
        let secret = secret(14);
        work.commit(&[(b"s", format!("{secret}\n").as_bytes())], "Secret");
        work.push(Via::Local, &["HEAD:refs/heads/topic"])
            .fails(&["RW301", "s:1"]);
        work.git(&["reset", "-q", "--hard", "HEAD^"]);
        work.commit(&[(b"s", b"fine\n")], "Fine");
        work.push(Via::Http, &["HEAD:refs/heads/topic"]).passes();
        let refused = work
            .push(Via::Http, &["HEAD:refs/heads/main"])
            .fails(&["RW201"]);
        approve(stack(), &request_of(&refused));
        work.push(Via::Http, &["HEAD:refs/heads/main"]).passes();
        replay(&repository).passes();
    }
}
