//! Pushes from masked clones: the original is what somebody who sees it would have written, the
//! view is what the pusher has, and nothing that the pusher is told names anything else.

use std::sync::OnceLock;

use refwarden_testkit::{Api, Objects, Outcome, RawPush, Repository, Stack, Via, with_token};
use refwarden_wire::api::PushRecordOut;
use sha2::{Digest as _, Sha256};

use crate::masked::{Clone, configured, place_of, planted};
use crate::shared::{approve, request_of, secret};

/// Agents read masked views and need a person's word for `main`.
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    const RULE: &str = r#"
[[rule]]
id = "main-is-approved"
refs = ["refs/heads/main"]
effect = "require_approval"
approvers = ["group:maintainers"]
"#;
    STACK.get_or_init(|| {
        let mut stack = configured(str::to_owned, RULE);
        let file = stack.directory().join("policy.toml");
        let policy = std::fs::read_to_string(&file).unwrap();
        // Secrets that come back are no news to the hooks.
        let strict = policy.replace("effect = \"allow\"", "effect = \"deny\"");
        assert_ne!(strict, policy);
        std::fs::write(file, strict).unwrap();
        stack.restart();
        stack
    })
}

/// Pushes with a fresh token, as an agent that acts for ada.
fn push(repository: &Repository<'_>, clone: &Clone, arguments: &[&str]) -> Outcome {
    let token = repository.stack.token("ada");
    let git = with_token(repository.stack.git(), &token, Via::Http);
    let outcome = git.run(clone.path(), &[&["push", "origin"], arguments].concat());
    tells_no_names(repository, clone, &outcome);
    outcome
}

/// What the pusher was told holds no name of the original that the clone does not have.
#[track_caller]
pub fn tells_no_names(repository: &Repository<'_>, clone: &Clone, outcome: &Outcome) {
    let said = outcome.everything();
    let list = [
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objectname)",
    ];
    let here = clone.git(&list);
    let there = repository.git(&list).passes().text();
    for oid in there.lines().filter(|oid| !here.contains(*oid)) {
        assert!(!said.contains(&oid[..10]), "{oid}: {said}");
    }
}

pub fn write(clone: &Clone, name: &str, text: &str, message: &str) -> String {
    let path = clone.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    clone.git(&["add", "-A"]);
    clone.git(&["commit", "-q", "-m", message]);
    clone.git(&["rev-parse", "HEAD"])
}

/// A pack of a commit with what it brings.
#[track_caller]
pub fn pack_of(clone: &Clone, commit: &str) -> Vec<u8> {
    let revisions = format!("{commit}\n^{commit}~1\n");
    let pack = ["pack-objects", "-q", "--revs", "--stdout"];
    let pack = clone.git.feed(clone.path(), &pack, revisions.as_bytes());
    pack.passes().stdout
}

pub fn fresh(repository: &Repository<'_>) -> Clone {
    Clone::new(repository, &repository.stack.token("ada"), &[])
}

#[test]
fn a_push_brings_the_secrets_back_and_the_view_follows() {
    for (name, format, seed) in [("back-1", "sha1", 9300), ("back-256", "sha256", 9310)] {
        let repository = planted(stack(), name, format, seed);
        let clone = fresh(&repository);
        let shown = clone.read("conf/app");
        let mine = write(
            &clone,
            "conf/app",
            &format!("# mine\n{shown}more = 1\n"),
            "Beside",
        );
        push(&repository, &clone, &["HEAD:refs/heads/topic"]).passes();
        let told = format!(
            "# mine\nuser = a\ntoken = {}\nend\nmore = 1\n",
            secret(seed)
        );
        let original = repository
            .git(&["show", "refs/heads/topic:conf/app"])
            .text();
        assert_eq!(original, told.trim_end());
        let parent = repository.value("refs/heads/topic~1");
        assert_eq!(parent, repository.value("refs/heads/main"));

        // One after another, several at once, a tag, and away with it.
        let second = write(&clone, "b", "b\n", "Second");
        clone.git(&["tag", "-a", "-m", "Mine", "mine", &mine]);
        let all = [
            "--atomic",
            "HEAD:refs/heads/topic",
            "HEAD:refs/heads/other",
            "mine",
        ];
        push(&repository, &clone, &all).passes();
        let view = fresh(&repository);
        for (name, oid) in [("topic", &second), ("other", &second), ("topic~1", &mine)] {
            let there = view.git(&["rev-parse", &format!("origin/{name}")]);
            assert_eq!(&there, oid, "{name}");
        }
        assert_eq!(view.git(&["rev-parse", "mine^{}"]), mine);
        push(&repository, &clone, &[":refs/heads/other"]).passes();
        assert_eq!(repository.value("refs/heads/other"), None);
        view.tells_nothing(&repository, &[secret(seed), secret(seed + 1)]);
        clone.tells_nothing(&repository, &[secret(seed), secret(seed + 1)]);
        repository.git(&["fsck", "--full", "--strict"]).passes();
        crate::shared::replay(&repository).passes();
    }
}

#[test]
fn what_waits_for_people_passes_once_they_approve() {
    let repository = planted(stack(), "waits", "sha1", 9320);
    let clone = fresh(&repository);
    let before = repository.value("refs/heads/main");
    let shown = clone.read("conf/app");
    let mine = write(&clone, "conf/app", &format!("{shown}more = 1\n"), "Mine");
    let main = ["HEAD:refs/heads/main"];
    let refused = push(&repository, &clone, &main).fails(&["RW201", "refs/heads/main"]);
    assert_eq!(repository.value("refs/heads/main"), before);
    // The pusher may follow what becomes of it, without a name of the original.
    let request = request_of(&refused);
    let api = Api::new(&stack().started().service_url, &stack().token("ada"));
    let shown = api.request(&request);
    assert_eq!(shown.state, "waiting");
    assert_eq!((shown.old, shown.new, shown.digest), Default::default());
    approve(stack(), &request);
    push(&repository, &clone, &main).passes();
    assert_eq!(repository.value("refs/heads/main~1"), before);
    assert_eq!(fresh(&repository).git(&["rev-parse", "HEAD"]), mine);
}

#[test]
fn a_push_is_on_record_as_it_was_made_and_as_it_became() {
    let repository = planted(stack(), "recorded", "sha1", 9370);
    let clone = fresh(&repository);
    let mine = write(&clone, "b", "b\n", "Mine");
    let pack = pack_of(&clone, &mine);
    let raw = RawPush::one(&repository.zero(), &mine, b"refs/heads/topic", pack.clone());
    let report = raw.send_http(&repository.http_url(), &stack().token("ada"));
    assert!(report.all_taken(), "{report:#?}");
    let api = stack().api("audrey");
    let session = |number: usize| {
        let events = api.events("recorded");
        let released = events.iter().filter(|it| it.kind == "push.released");
        let id = released.map(|it| it.push_id.unwrap()).nth(number).unwrap();
        let record: PushRecordOut = api.read(&format!("/pushes/{id}"));
        record.session.unwrap()
    };
    let of_view = session(0);
    let masked = of_view.masked.unwrap();
    let place = place_of(stack(), &repository);
    assert!(place.join(&masked.view).is_dir(), "{}", masked.view);
    assert_eq!(masked.updates[0]["old"], repository.zero());
    assert_eq!(masked.updates[0]["new"], mine.as_str());
    // Both packs are there, sealed, each under the hash of what came.
    let (theirs, own) = (masked.pack.unwrap(), of_view.pack.unwrap());
    assert_eq!(theirs.digest, hex::encode(Sha256::digest(&pack)));
    assert_eq!(theirs.bytes, Some(pack.len() as u64));
    assert_ne!(theirs.digest, own.digest);
    for digest in [&theirs.digest, &own.digest] {
        let kept = api.get(&format!("/packs/{digest}")).bytes().unwrap();
        assert!(kept.starts_with(b"age-encryption.org/v1"));
    }
    stack().refwarden(&["audit", "verify"]).passes();
    // Packs that are too long to be held in memory, and a push that brings none.
    let long: Vec<u8> = (0..100_000u64)
        .flat_map(|number| Sha256::digest(number.to_be_bytes()))
        .collect();
    std::fs::write(clone.path().join("long"), &long).unwrap();
    write(&clone, "d", "d\n", "Long");
    push(&repository, &clone, &["HEAD:refs/heads/long"]).passes();
    push(&repository, &clone, &[":refs/heads/long"]).passes();
    let bytes = session(1).masked.unwrap().pack.unwrap().bytes;
    assert!(bytes.unwrap() > long.len() as u64, "{bytes:?}");
    let deleted = session(2).masked.unwrap();
    assert!(deleted.pack.is_none() && deleted.updates[0]["new"] == repository.zero());
    // One that comes through no view says so, and nobody makes one up.
    let work = repository.work();
    work.commit(&[(b"c", b"c\n")], "Whole");
    work.push(Via::Local, &["HEAD:refs/heads/whole"]).passes();
    assert!(session(3).masked.is_none());
    let forged = work.git.with("REFWARDEN_MASKED_PUSH", "/nowhere");
    let token = stack().token("ada");
    let git = with_token(&forged, &token, Via::Local);
    let forge = ["push", "origin", "HEAD:refs/heads/forged"];
    git.run(work.path(), &forge)
        .fails(&["was not left by refwarden-receive"]);
}

#[test]
fn what_could_not_be_translated_is_on_record_as_its_client_made_it() {
    let repository = planted(stack(), "untranslated", "sha1", 9375);
    let clone = fresh(&repository);
    let shown = clone.read("conf/app");
    let mine = write(&clone, "README", &shown, "Copy");
    let pack = pack_of(&clone, &mine);
    let raw = RawPush::one(&repository.zero(), &mine, b"refs/heads/topic", pack.clone());
    let report = raw.send_http(&repository.http_url(), &stack().token("ada"));
    assert!(!report.all_taken(), "{report:#?}");
    // One that brings no sound pack, and one that brings none.
    let broken = RawPush::one(&repository.zero(), &mine, b"refs/heads/x", b"PACK".to_vec());
    let report = broken.send_http(&repository.http_url(), &stack().token("ada"));
    assert!(!report.all_taken(), "{report:#?}");
    let zero = repository.zero();
    let stale = RawPush::one(&mine, &zero, b"refs/heads/side", Vec::new());
    let report = stale.send_http(&repository.http_url(), &stack().token("ada"));
    assert!(!report.all_taken(), "{report:#?}");

    let api = stack().api("audrey");
    let refused: Vec<_> = api
        .events("untranslated")
        .into_iter()
        .filter(|it| it.kind == "push.refused")
        .collect();
    let codes: Vec<&str> = refused.iter().map(|it| &*it.codes[0]).collect();
    assert_eq!(codes, ["RW303", "RW408", "RW402"], "{refused:#?}");
    // The event names view and pack, so that the log seals them.
    let digest = hex::encode(Sha256::digest(&pack));
    let views = std::fs::read_dir(place_of(stack(), &repository)).unwrap();
    let views: Vec<String> = views
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    for event in &refused {
        let told = &event.summary;
        let is_told = |it: &&String| it.get(..12).is_some_and(|it| told.contains(it));
        let view = views.iter().find(is_told);
        assert!(view.is_some(), "{told}: {views:?}");
        assert!(event.actor.contains("ada"), "{}", event.actor);
    }
    assert!(refused[0].summary.contains(&digest), "{refused:#?}");
    assert!(refused[2].summary.contains("no pack"), "{refused:#?}");
    let kept = api.get(&format!("/packs/{digest}")).bytes().unwrap();
    assert!(kept.starts_with(b"age-encryption.org/v1"));
    stack().refwarden(&["audit", "verify"]).passes();
}

#[test]
fn of_two_who_race_one_wins_and_the_other_rebases() {
    let repository = planted(stack(), "race", "sha1", 9360);
    let clones = [(); 2].map(|()| fresh(&repository));
    for (index, clone) in clones.iter().enumerate() {
        let shown = clone.read("conf/app");
        let text = if index == 0 {
            format!("# first\n{shown}")
        } else {
            format!("{shown}# second\n")
        };
        write(clone, "conf/app", &text, "Mine");
    }
    let to = ["HEAD:refs/heads/side"];
    let outcomes = std::thread::scope(|scope| {
        let pushes = clones.each_ref().map(|clone| {
            let repository = &repository;
            scope.spawn(move || push(repository, clone, &["--force", to[0]]))
        });
        pushes.map(|push| push.join().unwrap())
    });
    // Whoever comes later is told so, or has seen the other's and moves on from there.
    let [one, other] = &outcomes;
    assert!(one.ok() || other.ok(), "{one}\n{other}");
    repository.git(&["fsck", "--full", "--strict"]).passes();
    let loser = &clones[0];
    loser.git(&["fetch", "-q", "origin"]);
    loser.git(&["reset", "-q", "--hard", "origin/side"]);
    let shown = loser.read("conf/app");
    let mine = write(loser, "conf/app", &format!("{shown}# third\n"), "Third");
    push(&repository, loser, &to).passes();
    assert_eq!(fresh(&repository).git(&["rev-parse", "origin/side"]), mine);
    let original = repository.git(&["show", "refs/heads/side:conf/app"]).text();
    assert!(
        original.contains(&secret(9360)) && original.ends_with("# third"),
        "{original}"
    );
    crate::shared::replay(&repository).passes();
}

#[test]
fn a_secret_goes_nowhere_else() {
    let repository = planted(stack(), "moved", "sha1", 9330);
    let before = repository.refs();
    let (shown, refuse) = (
        fresh(&repository).read("conf/app"),
        |name: &str, text: &str| {
            let clone = fresh(&repository);
            write(&clone, name, text, "Mine");
            push(&repository, &clone, &["HEAD:refs/heads/topic"])
        },
    );
    let line = shown
        .lines()
        .find(|line| line.starts_with("token"))
        .unwrap();
    refuse("README.md", line).fails(&["RW303", "README.md:1", "pre-receive hook declined"]);
    refuse("conf/app", &format!("{shown}{line}\n")).fails(&["RW303", "conf/app"]);
    let glued = shown.replace("token = ", "token = https://evil.example/?p=");
    refuse("conf/app", &glued).fails(&["RW303"]);
    refuse("conf/new", &format!("token = {}\n", secret(9339))).fails(&["RW301", "conf/new:1"]);
    assert_eq!(repository.refs(), before);
    let events = stack().api("audrey").events("moved");
    let denied: Vec<_> = events
        .iter()
        .filter(|it| it.kind == "push.refused")
        .collect();
    assert_eq!(denied.len(), 4, "{events:#?}");
    assert!(denied.iter().any(|it| it.codes == ["RW303"]), "{denied:#?}");
}

#[test]
fn names_of_the_original_are_not_taken() {
    let repository = planted(stack(), "guessed", "sha1", 9340);
    let before = repository.refs();
    let clone = fresh(&repository);
    let hidden = repository.value("refs/heads/main").unwrap();
    let shown = clone.git(&["rev-parse", "HEAD"]);
    let objects = Objects::new(stack().git(), "sha1");
    let blob = objects.blob(b"nothing\n");
    let empty = || objects.pack(&[&blob]);
    let send = |push: &RawPush| {
        let report = push.send_http(&repository.http_url(), &stack().token("ada"));
        assert!(!report.all_taken(), "{report:#?}");
        report
    };
    // Whether the original has an object is not told: one that is nowhere is answered alike.
    let nowhere = "5".repeat(40);
    let said = |oid: &str| {
        let push = RawPush::one(&repository.zero(), oid, b"refs/heads/x", empty());
        format!("{:?}", send(&push))
            .replace(oid, "")
            .replace(&oid[..10], "")
    };
    assert_eq!(said(&hidden), said(&nowhere));
    // Nor does a value of the original count as the ref's.
    let old = RawPush::one(&hidden, &shown, b"refs/heads/main", empty());
    send(&old);
    let delete = RawPush::one(&hidden, &repository.zero(), b"refs/heads/side", Vec::new());
    send(&delete);
    assert_eq!(repository.refs(), before);
}

#[test]
fn without_the_service_nothing_is_pushed() {
    let stack = configured(str::to_owned, "");
    let repository = planted(&stack, "down", "sha1", 9350);
    let clone = fresh(&repository);
    let before = repository.refs();
    write(&clone, "b", "b\n", "Mine");
    let token = stack.token("ada");
    stack.kill("service");
    let git = with_token(stack.git(), &token, Via::Http);
    let pushed = git.run(clone.path(), &["push", "origin", "HEAD:refs/heads/topic"]);
    pushed.fails(&["RW501"]);
    assert_eq!(repository.refs(), before);
}
