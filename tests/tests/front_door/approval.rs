//! One approval lets exactly what was approved through, once.

use std::time::Duration;

use refwarden_testkit::{Objects, RawPush, Repository, Via, Work};

use crate::shared::{approve, count, for_programs, request_of, stack};

const MAIN: &str = "refs/heads/main";

#[track_caller]
fn ask(work: &Work<'_>) -> String {
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    request_of(&refused)
}

#[test]
fn the_same_push_passes_once_it_is_approved_and_only_once() {
    let repository = Repository::guarded(stack(), "once");
    let work = repository.work();
    let old = work.git(&["rev-parse", "HEAD"]);
    let new = work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work);
    assert_eq!(ask(&work), request, "the same push asks the same question");
    approve(stack(), &request);
    work.push(Via::Local, &["HEAD:refs/heads/main"]).passes();
    assert_eq!(repository.value(MAIN), Some(new.clone()));
    assert_eq!(stack().api("audrey").request(&request).state, "used");
    assert_eq!(count(&repository, "ref.committed", MAIN), 1);

    // Somebody with access to the disk moves the ref back: the approval is spent.
    let reference = repository.path.join(MAIN);
    std::fs::write(reference, format!("{old}\n")).unwrap();
    let again = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    assert_ne!(request_of(&again), request);
    assert_eq!(repository.value(MAIN), Some(old));
}

#[test]
fn a_rejected_push_stays_out() {
    let repository = Repository::guarded(stack(), "rejected");
    let work = repository.work();
    let old = repository.value(MAIN);
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work);
    let url = format!("{}/r/{request}", stack().started().service_url);
    let page = stack()
        .browser("grace")
        .decide(&url, "reject", "Not like this.");
    assert_eq!(page.status, 200, "{}", page.body);
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW202"]);
    assert!(refused.said().contains("refs/heads/main"), "{refused}");
    assert_eq!(repository.value(MAIN), old);
}

#[test]
fn an_approval_is_bound_to_ref_old_and_new() {
    let repository = Repository::guarded(stack(), "bound");
    let work = repository.work();
    let begin = work.git(&["rev-parse", "HEAD"]);
    let one = work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work);
    approve(stack(), &request);

    // Another ref.
    let other = work
        .push(Via::Local, &["HEAD:refs/heads/release/1"])
        .fails(&["RW201"]);
    assert_ne!(request_of(&other), request);
    // Another new value.
    let two = work.commit(&[(b"b", b"b\n")], "B");
    let other = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    assert_ne!(request_of(&other), request);
    approve(stack(), &request_of(&other));
    work.push(Via::Local, &["HEAD:refs/heads/main"]).passes();
    assert_eq!(repository.value(MAIN), Some(two));
    // Another old value: the first approval was for begin..one, and main is past that.
    let denied = work
        .push(Via::Local, &["--force", &format!("{one}:{MAIN}")])
        .fails(&["RW203"]);
    // The page that is named shows the push to its pusher, and to nobody else.
    let said = denied.said();
    let url = said.split("hint:  recorded as ").nth(1).unwrap();
    let url = url.split_whitespace().next().unwrap();
    let page = stack().browser("ada").open(url);
    assert_eq!(page.status, 200, "{}", page.body);
    for words in ["RW203 denied by policy", MAIN, "claimed"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert_eq!(stack().browser("grace").open(url).status, 404);
    assert_ne!(repository.value(MAIN), Some(begin));
}

#[test]
fn an_author_decides_nothing_by_way_of_another_branch() {
    let repository = Repository::guarded(stack(), "author-detour");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "By Grace");
    let author = "--author=Grace <Grace@Example.org>";
    work.git(&["commit", "-q", "--amend", "--no-edit", author]);
    // The commit is no news to the repository when main is asked for, so that push records none.
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    let direct = ask(&work);
    let (status, body) = stack().api("grace").decide(&direct, "approve", "Mine.");
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("author or committer"), "{body}");

    // Nor does a new protected ref that begins at it.
    let created = work
        .push(Via::Local, &["HEAD:refs/heads/release/1"])
        .fails(&["RW201"]);
    let created = request_of(&created);
    let (status, body) = stack().api("grace").decide(&created, "approve", "Mine.");
    assert_eq!(status, 403, "{body}");

    // Neither does a commit of somebody else on top of it help.
    work.commit(&[(b"b", b"b\n")], "By somebody else");
    let above = ask(&work);
    let (status, body) = stack().api("grace").decide(&above, "approve", "Mine.");
    assert_eq!(status, 403, "{body}");
    let url = format!("{}/r/{above}", stack().started().service_url);
    let page = stack().browser("grace").open(&url);
    assert!(page.body.contains("By Grace"), "{}", page.body);
    assert!(!page.body.contains("value=\"approve\""), "{}", page.body);
}

#[test]
fn nobody_in_the_chain_approves_their_own_push() {
    for (name, client) in [("self-agent", "agent"), ("self-human", "operator")] {
        let repository = Repository::guarded(stack(), name);
        let work = repository.work();
        work.commit(&[(b"a", name.as_bytes())], "A");
        let token = stack().token_as(client, "grace", "10m");
        let push = ["HEAD:refs/heads/main"];
        let refused = work.push_with(&token, Via::Local, &push).fails(&["RW201"]);
        let request = request_of(&refused);

        let (status, body) = stack().api("grace").decide(&request, "approve", "Mine.");
        assert_eq!(status, 403, "{name}: {body}");
        let url = format!("{}/r/{request}", stack().started().service_url);
        let digest = stack().api("audrey").request(&request).digest;
        let mut browser = stack().browser("grace");
        let page = browser.open(&url);
        let csrf = page
            .forms()
            .iter()
            .find_map(|form| form.fields.get("csrf").cloned());
        let fields = [
            ("csrf", csrf.unwrap_or_default()),
            ("digest", digest),
            ("decision", "approve".to_owned()),
            ("reason", "Mine.".to_owned()),
        ];
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let origin = stack().started().service_url.clone();
        let page = browser.post(&format!("{url}/decision"), &fields, Some(&origin));
        assert_eq!(page.status, 403, "{name}: {}", page.body);
        assert_eq!(stack().api("audrey").request(&request).state, "waiting");
        work.push(Via::Local, &["HEAD:refs/heads/main"])
            .fails(&["RW201"]);
    }
}

#[test]
fn only_approvers_approve_and_only_what_they_saw() {
    let repository = Repository::guarded(stack(), "approvers");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work);
    for person in ["audrey", "adam"] {
        let digest = stack().api("audrey").request(&request).digest;
        let (status, body) = stack()
            .api(person)
            .decide_digest(&request, "approve", "Yes.", &digest);
        assert_eq!(status, 403, "{person}: {body}");
    }
    let grace = stack().api("grace");
    let (status, body) = grace.decide_digest(&request, "approve", "Yes.", &"0".repeat(64));
    assert!(
        matches!(status, 400 | 409 | 422),
        "a stale digest: {status}: {body}"
    );
    // An agent's token decides nothing, even when the human behind it could.
    let token = stack().token("grace");
    let agent = refwarden_testkit::Api::new(&stack().started().service_url, &token);
    let digest = stack().api("audrey").request(&request).digest;
    let (status, body) = agent.decide_digest(&request, "approve", "Yes.", &digest);
    assert!(matches!(status, 401 | 403 | 404), "{status}: {body}");
    assert_eq!(stack().api("audrey").request(&request).state, "waiting");
}

#[test]
fn a_decision_needs_the_page_it_comes_from() {
    let repository = Repository::guarded(stack(), "forgery");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work);
    let url = format!("{}/r/{request}", stack().started().service_url);
    let mut browser = stack().browser("grace");
    let page = browser.open(&url);
    let form = page.form_with("digest");
    let mut fields: Vec<_> = form
        .fields
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    fields.retain(|(name, _)| *name != "decision");
    fields.push(("decision", "approve"));
    let target = format!("{url}/decision");

    let page = browser.post(&target, &fields, Some("https://evil.example"));
    assert_eq!(page.status, 403, "another origin: {}", page.body);
    let without: Vec<_> = fields
        .iter()
        .copied()
        .filter(|(name, _)| *name != "csrf")
        .collect();
    let origin = stack().started().service_url.clone();
    let page = browser.post(&target, &without, Some(&origin));
    assert!(
        matches!(page.status, 400 | 403),
        "no CSRF token: {}",
        page.status
    );
    let mut stranger = refwarden_testkit::Browser::new();
    stranger.post(&target, &fields, Some(&origin));
    assert_eq!(stack().api("audrey").request(&request).state, "waiting");
}

#[test]
fn of_two_pushes_that_race_for_one_approval_one_passes() {
    let repository = Repository::guarded(stack(), "race");
    let objects = Objects::beside(stack().git(), &repository.path, "sha1");
    for round in 0..3 {
        let old = repository.value(MAIN).unwrap();
        let blob = objects.blob(format!("round {round}\n").as_bytes());
        let tree = objects.tree(&[(b"file", &blob)]);
        let new = objects.commit(&tree, &[&old], b"Race");
        let pack = objects.pack(&[&new, &tree, &blob]);
        let push = RawPush::one(&old, &new, MAIN.as_bytes(), pack);
        let send = || {
            let git = stack().git().with("REFWARDEN_TOKEN", &stack().token("ada"));
            push.send_local(&git, &repository.path)
        };
        let report = send();
        report.refuses(&["RW201"]);
        let request = for_programs(&report.messages)["request"]
            .as_str()
            .unwrap()
            .to_owned();
        approve(stack(), &request);
        let reports = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
            racers
                .into_iter()
                .map(|it| it.join().unwrap())
                .collect::<Vec<_>>()
        });
        let passed = reports.iter().filter(|it| it.all_taken()).count();
        assert_eq!(passed, 1, "{reports:#?}");
        assert_eq!(repository.value(MAIN), Some(new));
        assert_eq!(count(&repository, "ref.committed", MAIN), round + 1);
    }
}

#[test]
fn a_program_waits_for_the_decision() {
    let repository = Repository::guarded(stack(), "poll");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    let said = for_programs(&refused.said());
    let request = request_of(&refused);
    assert!(said["poll"].as_str().unwrap().contains(&request), "{said}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let api = stack().api("audrey");
            let begun = std::time::Instant::now();
            let path = format!("/requests/{request}?wait=30");
            let answer: refwarden_wire::api::RequestOut = api.read(&path);
            (answer.state, begun.elapsed())
        });
        approve(stack(), &request);
        let (state, took) = waiting.join().unwrap();
        assert_eq!(state, "approved");
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
}
