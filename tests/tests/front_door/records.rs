//! The records alone rebuild the repository, and they hold the refusals too.

use refwarden_testkit::{Repository, Stack, Via};

use crate::fetches::psql;
use crate::shared::{approve, kinds, replay, request_of, secret, stack};

#[test]
fn replay_rebuilds_the_repository_before_and_after() {
    let repository = Repository::unguarded(stack(), "replayed", "sha1");
    let work = repository.work();
    work.git(&["tag", "-a", "-m", "Old", "v0"]);
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/old", "v0"]);
    repository
        .git(&["symbolic-ref", "refs/heads/alias", "refs/heads/main"])
        .passes();
    repository.git(&["pack-refs", "--all"]).passes();
    repository.install().passes();
    let before = repository.refs();
    replay(&repository).passes();
    let events = stack().api("audrey").events("replayed");
    let seq = events.last().map_or(0, |event| event.seq);

    work.commit(&[(b"a", b"a\n")], "A");
    let refused = work
        .push(Via::Http, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    approve(stack(), &request_of(&refused));
    work.push(Via::Http, &["HEAD:refs/heads/main"]).passes();
    work.push(Via::Local, &["HEAD:refs/heads/topic", ":refs/heads/old"])
        .passes();
    work.commit(&[(b"s", format!("{}\n", secret(30)).as_bytes())], "Secret");
    work.push(Via::Local, &["HEAD:refs/heads/topic"])
        .fails(&["RW301"]);
    replay(&repository).passes();

    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("before.git");
    let arguments = [
        "replay",
        "replayed",
        "--at",
        &format!("seq:{seq}"),
        "--into",
        &into.display().to_string(),
    ];
    stack().refwarden(&arguments).passes();
    let git = stack().git();
    let format = "--format=%(refname) %(objectname) %(symref)";
    let mut rebuilt = git.run(&into, &["for-each-ref", format]).passes().stdout;
    rebuilt.extend(std::fs::read(into.join("HEAD")).unwrap());
    assert_eq!(
        String::from_utf8_lossy(&rebuilt),
        String::from_utf8_lossy(&before)
    );
    git.run(&into, &["fsck", "--full"]).passes();
}

#[test]
fn a_question_about_what_there_is_not_is_told_so() {
    let audrey = stack().api("audrey");
    for path in [
        "/repositories/nowhere/app/replay",
        "/events?repository=nowhere/app",
    ] {
        let answer = audrey.get(path);
        assert_eq!(answer.status().as_u16(), 404, "{path}");
        let text = answer.text().unwrap();
        assert!(
            text.contains("There is no repository 'nowhere/app'"),
            "{path}: {text}"
        );
    }
    // Who reads no records learns nothing of what there is.
    let ada = stack().api("ada").get("/repositories/nowhere/app/replay");
    assert_eq!(ada.status().as_u16(), 403);
    let answer = stack().api("ada").get("/requests?state=bogus");
    assert_eq!(answer.status().as_u16(), 400);
    let text = answer.text().unwrap();
    assert!(
        text.contains("expected one of waiting, approved, rejected"),
        "{text}"
    );
}

#[test]
fn replay_rebuilds_a_symbolic_ref_that_names_nothing() {
    let repository = Repository::unguarded(stack(), "dangling", "sha1");
    let alias = ["symbolic-ref", "refs/heads/alias", "refs/heads/nowhere"];
    repository.git(&alias).passes();
    repository.install().passes();
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("rebuilt.git");
    let target = into.display().to_string();
    stack()
        .refwarden(&["replay", "dangling", "--into", &target])
        .passes();
    let found = stack()
        .git()
        .text(&into, &["symbolic-ref", "refs/heads/alias"]);
    assert_eq!(found, "refs/heads/nowhere");
    crate::shared::replay(&repository).passes();
}

#[test]
fn an_error_of_replay_is_no_difference() {
    let repository = Repository::guarded(stack(), "replay-errors");
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("none.git").display().to_string();
    let replay = |arguments: &[&str], words: &[&str]| {
        let all = [&["replay"][..], arguments, &["--into", &into]].concat();
        let said = stack().refwarden(&all);
        assert_eq!(said.code, Some(2), "{said}");
        said.says(words);
    };
    replay(&["no-such-one"], &["'no-such-one'", "it knows", "next:"]);
    let early = ["replay-errors", "--at", "2001-01-01T00:00:00Z"];
    replay(&early, &["not under guard at that time"]);
    replay(&["replay-errors", "--at", "yesterday"], &["seq:N"]);
    drop(repository);
}

#[test]
fn verify_notices_an_object_that_is_broken_on_disk() {
    let repository = Repository::guarded(stack(), "broken-object");
    replay(&repository).passes();
    let blob = repository
        .git(&["rev-parse", "main:README"])
        .passes()
        .text();
    let (directory, file) = blob.split_at(2);
    let path = repository.path.join("objects").join(directory).join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let refused = replay(&repository);
    assert!(!refused.ok(), "{refused}");
}

#[test]
fn replay_notices_what_is_not_in_the_records() {
    let repository = Repository::guarded(stack(), "tampered");
    replay(&repository).passes();
    let work = repository.work();
    let head = work.git(&["rev-parse", "HEAD"]);
    std::fs::write(
        repository.path.join("refs/heads/sneaked"),
        format!("{head}\n"),
    )
    .unwrap();
    let differs = replay(&repository);
    assert_eq!(differs.code, Some(1), "{differs}");
    differs.says(&["refs/heads/sneaked"]);
    std::fs::remove_file(repository.path.join("refs/heads/sneaked")).unwrap();
    std::fs::write(repository.path.join("HEAD"), "ref: refs/heads/other\n").unwrap();
    assert_eq!(replay(&repository).code, Some(1));
}

#[test]
fn audit_lists_what_happened_with_the_refusals() {
    let repository = Repository::guarded(stack(), "audited");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let refused = work
        .push(Via::Http, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    let request = request_of(&refused);
    work.push(Via::Local, &[":refs/heads/main"])
        .fails(&["RW203"]);
    work.push_with("nonsense", Via::Local, &["HEAD:refs/heads/x"])
        .fails(&["RW102"]);
    approve(stack(), &request);
    work.push(Via::Http, &["HEAD:refs/heads/main"]).passes();

    let listed = stack()
        .refwarden(&["audit", "--repository", "audited", "--json"])
        .passes();
    let lines: Vec<serde_json::Value> = listed
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let codes: String = lines.iter().map(|line| line["codes"].to_string()).collect();
    for code in ["RW201", "RW203", "RW102"] {
        assert!(codes.contains(code), "{code}: {listed}");
    }
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["seq"], index + 1, "a gap: {listed}");
    }
    let text = stack()
        .refwarden(&["audit", "--repository", "audited"])
        .passes();
    let text = text.says(&["refs/heads/main", "agent for ada", "grace"]);
    assert!(text.text().lines().count() >= 5, "{text}");
    let kinds = kinds(&repository);
    for kind in ["push.denied", "ref.committed"] {
        assert!(kinds.iter().any(|(it, _)| it == kind), "{kind}: {kinds:?}");
    }
}

#[test]
fn only_auditors_read_the_records() {
    let _repository = Repository::guarded(stack(), "private");
    for person in ["ada", "grace"] {
        let response = stack().api(person).get("/events?repository=private");
        assert!(
            matches!(response.status().as_u16(), 403 | 404),
            "{person}: {response:?}"
        );
        let response = stack().api(person).get("/repositories/private/replay");
        assert!(
            matches!(response.status().as_u16(), 403 | 404),
            "{person}: {response:?}"
        );
    }
    let stranger = refwarden_testkit::Api::new(&stack().started().service_url, "nonsense");
    assert_eq!(stranger.get("/events").status().as_u16(), 401);
    let agent = refwarden_testkit::Api::new(&stack().started().service_url, &stack().token("ada"));
    assert!(matches!(
        agent.get("/events").status().as_u16(),
        401 | 403 | 404
    ));
}

#[test]
fn a_second_up_and_a_second_install_say_so() {
    let again = stack().refwarden(&["up", "--detach", "--json"]);
    assert_eq!(again.code, Some(1), "{again}");
    let repository = Repository::guarded(stack(), "twice");
    // Either it is refused, or it is harmless: the repository is as it was.
    let second = repository.install();
    assert!(matches!(second.code, Some(0 | 1)), "{second}");
    let work = repository.work();
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    replay(&repository).passes();
}

#[test]
fn up_uses_the_server_that_database_url_names_and_stays_with_it() {
    psql(stack(), "CREATE DATABASE elsewhere");
    let own = &stack().started().database_url;
    let url = own.replacen("/refwarden?", "/elsewhere?", 1);
    assert_ne!(url, *own);
    let mut guest = Stack::on_server(&url);
    assert_eq!(guest.started().database_url, url);
    // The variable is not there any more when it starts again.
    guest.restart();
    assert_eq!(guest.started().database_url, url);
    assert!(!guest.directory().join("postgres").exists());
    let repository = Repository::guarded(&guest, "app");
    let work = repository.work();
    work.push(Via::Http, &["HEAD:refs/heads/topic"]).passes();
    replay(&repository).passes();
    assert_eq!(psql(&guest, "SELECT count(*) FROM pushes"), "1");
    // What is not its own, it does not stop.
    guest.refwarden(&["down"]).passes();
    assert_eq!(psql(&guest, "SELECT count(*) FROM pushes"), "1");
}

#[test]
fn a_push_is_told_as_a_session() {
    let repository = Repository::guarded(stack(), "sessions");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "\u{1b}[31mRed");
    let refused = work
        .push(Via::Http, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    let request = request_of(&refused);
    approve(stack(), &request);
    work.push(Via::Http, &["HEAD:refs/heads/main"]).passes();
    let found = secret(30);
    work.commit(&[(b"s", format!("{found}\n").as_bytes())], "Secret");
    work.push(Via::Local, &["HEAD:refs/heads/topic"])
        .fails(&["RW301"]);
    let events = stack().api("audrey").events("sessions");
    let push_of = |kind: &str| {
        let event = events.iter().find(|event| event.kind == kind).unwrap();
        event.push_id.unwrap().to_string()
    };
    let told = |push: &str, more: &[&str]| {
        let arguments = [&["replay", "--push", push], more].concat();
        stack().refwarden(&arguments).passes().text()
    };
    let has = |text: &str, words: &[&str]| {
        for words in words {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    };

    // Refused, then approved.
    let waiting = told(&push_of("push.waiting"), &[]);
    has(
        &waiting,
        &[
            "http from 127.0.0.1",
            "token with SHA-256",
            "HEAD refs/heads/main",
            "refs/heads/main ",
            "pack ",
            "[31mRed",
            "A a +1 -0",
            ": 0 secrets",
            "push.waiting",
            "RW201",
            "request.created",
            "decision approve",
            &request,
        ],
    );
    assert!(!waiting.contains("ref.committed"), "{waiting}");

    let passed = told(&push_of("push.completed"), &["--json", "--speed", "1000"]);
    let passed: serde_json::Value = serde_json::from_str(&passed).unwrap();
    let steps = passed["steps"].as_array().unwrap();
    let whats: Vec<_> = steps
        .iter()
        .map(|it| it["what"].as_str().unwrap())
        .collect();
    let place = |what: &str| whats.iter().position(|it| *it == what).unwrap();
    let order = [
        "connected",
        "scanned",
        "push.released",
        "ref.prepared",
        "ref.committed",
    ];
    assert!(order.map(place).is_sorted(), "{whats:?}");
    assert!(
        place("ref.committed") < place("push.completed"),
        "{whats:?}"
    );
    let offsets: Vec<_> = steps.iter().map(|it| it["after_ms"].as_i64()).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");

    let denied = told(&push_of("push.denied"), &["--speed", "1"]);
    has(
        &denied,
        &[
            "local, to host",
            ": 1 secret",
            "s:1:",
            "RW301",
            "It is denied now.",
        ],
    );
    assert!(!denied.contains(&found), "{denied}");

    // The same in a browser, for auditors only.
    let denied = push_of("push.denied");
    let page_of = |push: &str| format!("{}/p/{push}", stack().started().service_url);
    let mut audrey = stack().browser("audrey");
    let link = format!("/p/{denied}/replay");
    let page = audrey.open(&page_of(&denied));
    assert!(page.body.contains(&link), "{}", page.body);
    let page = audrey.open(&format!("{}/replay", page_of(&denied)));
    assert_eq!(page.status, 200, "{}", page.body);
    let steps = [
        "connected",
        "asked",
        "sent",
        "scanned",
        "judged",
        "push.denied",
    ];
    let places = steps.map(|step| page.body.find(&format!(">{step}</span>")));
    assert!(places.iter().all(Option::is_some), "{}", page.body);
    assert!(places.is_sorted(), "{}", page.body);
    has(&page.body, &["+0.000 s", ": 1 secret", "s:1:", "RW301"]);
    assert!(!page.body.contains(&found), "{}", page.body);
    let waited = audrey.open(&format!("{}/replay", page_of(&push_of("push.waiting"))));
    let words = ["decision approve", &request, "&#60;U+001B&#62;[31mRed"];
    has(&waited.body, &words);
    let read = format!("SELECT count(*) FROM readings WHERE what = 'page {link}'");
    assert_eq!(psql(stack(), &read), "1");
    let mut ada = stack().browser("ada");
    assert!(!ada.open(&page_of(&denied)).body.contains(&link));
    let refused = ada.open(&format!("{}/replay", page_of(&denied)));
    assert_eq!(refused.status, 403, "{}", refused.body);

    let wrong = |arguments: &[&str], words: &[&str]| {
        stack().refwarden(arguments).fails(words);
    };
    let nobody = "00000000-0000-0000-0000-000000000000";
    let nothing = audrey.open(&format!("{}/replay", page_of(nobody)));
    assert_eq!(nothing.status, 404, "{}", nothing.body);
    wrong(&["replay", "--push", nobody], &["404"]);
    wrong(
        &["replay", "--push", nobody, "--speed", "0"],
        &["a number above 0"],
    );
    wrong(
        &["replay", "--push", nobody, "--into", "x"],
        &["cannot be used with"],
    );
    wrong(&["replay", "sessions"], &["--into"]);
}
