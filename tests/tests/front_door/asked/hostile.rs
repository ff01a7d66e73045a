//! Two accounts of one person, forged decisions, and what people are told that they were not:
//! bypasses, reasons of rules, commits that another branch brought, pushes by the hour.

use refwarden_testkit::{Repository, Via};

use super::setup::{MAIN, approve, ask, asked, push_to};
use crate::shared::{count, request_of};

const PAIR: &str = "refs/heads/pair";

#[test]
fn two_accounts_of_one_person_are_one_person() {
    let repository = Repository::guarded(asked(), "pair");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let id = ask(&work, PAIR);
    approve(asked(), "grace", &id);
    let (status, body) = asked().api("grace2").decide(&id, "approve", "Me again.");
    assert_eq!(status, 409, "{body}");
    let (status, _) = asked().api("grace").decide(&id, "approve", "Me again.");
    assert_eq!(status, 409);
    assert_eq!(asked().api("audrey").request(&id).state, "waiting");
    push_to(&work, PAIR).fails(&["RW201"]);
    approve(asked(), "lin", &id);
    push_to(&work, PAIR).passes();

    // Nor does the second account decide on what the first one pushed.
    work.commit(&[(b"a", b"b\n")], "B");
    let token = asked().token_as("operator", "grace", "10m");
    let push = [&*format!("HEAD:{PAIR}")];
    let id = request_of(&work.push_with(&token, Via::Local, &push).fails(&["RW201"]));
    let (status, body) = asked().api("grace2").decide(&id, "approve", "Not me.");
    assert_eq!(status, 403, "{body}");
}

#[test]
fn a_decision_by_get_without_token_from_elsewhere_or_stale_decides_nothing() {
    let repository = Repository::guarded(asked(), "forged");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let id = ask(&work, PAIR);
    let url = format!("{}/r/{id}", asked().started().service_url);
    let here = asked().started().service_url.clone();
    let mut browser = asked().browser("grace");
    let form = browser.open(&url).form_with("digest");
    let (csrf, digest) = (form.fields["csrf"].clone(), form.fields["digest"].clone());
    let target = format!("{url}/decision");
    let stale = "0".repeat(64);
    for (token, digest, origin, expected) in [
        (
            csrf.as_str(),
            digest.as_str(),
            Some("https://evil.example"),
            403,
        ),
        (&csrf, &digest, Some("null"), 403),
        (&csrf, &digest, None, 403),
        ("", &digest, Some(here.as_str()), 403),
        (&csrf, &stale, Some(here.as_str()), 409),
        (&csrf, "", Some(here.as_str()), 409),
    ] {
        let fields = [("csrf", token), ("digest", digest), ("decision", "approve")];
        let page = browser.post(&target, &fields, origin);
        assert_eq!(page.status, expected, "{origin:?}: {}", page.body);
    }
    let query = format!("?csrf={csrf}&digest={digest}&decision=approve");
    for path in [&target, &url] {
        browser.open(&format!("{path}{query}"));
    }
    let request = asked().api("audrey").request(&id);
    assert!(request.decisions.is_empty(), "{request:?}");
    // Answers are no way round: the last of two fields of a name does not win over the first.
    let fields = [
        ("csrf", csrf.as_str()),
        ("digest", &digest),
        ("decision", "perhaps"),
    ];
    assert_eq!(browser.post(&target, &fields, Some(&here)).status, 400);
}

#[test]
fn a_rule_that_is_passed_by_is_an_event_of_its_own() {
    let repository = Repository::guarded(asked(), "bypass");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let token = asked().token_as("operator", "olga", "10m");
    let push = [
        "--push-option=reason=Night shift",
        "HEAD:refs/heads/passable",
    ];
    work.push_with(&token, Via::Local, &push).passes();
    let events = asked().api("audrey").events("bypass");
    let passed: Vec<_> = events
        .iter()
        .filter(|it| it.kind == "policy.bypassed")
        .collect();
    assert_eq!(passed.len(), 1, "{events:?}");
    assert_eq!(passed[0].ref_name.as_deref(), Some("refs/heads/passable"));
    for part in ["rule passable", "group:oncall", "Night shift"] {
        assert!(passed[0].summary.contains(part), "{}", passed[0].summary);
    }
    assert!(passed[0].push_id.is_some());
    let token = asked().token_as("operator", "olga", "10m");
    work.commit(&[(b"a", b"b\n")], "B");
    work.push_with(&token, Via::Local, &push[1..])
        .fails(&["RW203"]);
    assert_eq!(
        count(&repository, "policy.bypassed", "refs/heads/passable"),
        1
    );
}

#[test]
fn a_refusal_says_which_rule_asks_and_why() {
    let repository = Repository::guarded(asked(), "because");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    push_to(&work, MAIN).fails(&["hint:  asked by rebase: fast-forward of refs/heads/main"]);
}

#[test]
fn a_new_ref_shows_commits_that_another_branch_brought() {
    let repository = Repository::unguarded(asked(), "new-ref", "sha1");
    let work = repository.work();
    work.commit(&[(b"old", b"old\n")], "Held before");
    work.git
        .run(
            work.path(),
            &["push", "-q", "origin", "HEAD:refs/heads/before"],
        )
        .passes();
    repository.install().passes();
    work.commit(&[(b"topic", b"topic line\n")], "By way of a topic");
    push_to(&work, "refs/heads/topic").passes();
    work.commit(&[(b"own", b"own line\n")], "Its own");
    let id = ask(&work, "refs/heads/release/2");
    let url = format!("{}/r/{id}", asked().started().service_url);
    let page = asked().browser("grace").open(&url);
    let at = |text: &str| {
        let found = page.body.find(text);
        found.unwrap_or_else(|| panic!("{text} is not shown: {}", page.body))
    };
    at("Held before");
    assert!(at("By way of a topic") < at("Its own"));
    at("topic line");
    at("no diff is recorded");
    at("3 commits");
}

#[test]
fn a_rule_counts_pushes_by_the_hour() {
    let repository = Repository::guarded(asked(), "rate");
    let work = repository.work();
    let push = |content: &str| {
        work.commit(&[(b"a", content.as_bytes())], content);
        let token = asked().token_as("robot", "lin", "10m");
        work.push_with(&token, Via::Local, &["HEAD:refs/heads/rate"])
    };
    let other = asked().token("lin");
    // The robot has pushed elsewhere already, or does so now: any push counts.
    push("one");
    push("two");
    push("three").fails(&["RW203", "within an hour"]);
    work.push_with(&other, Via::Local, &["HEAD:refs/heads/rate"])
        .passes();
}

#[test]
fn pushes_at_once_are_counted_one_by_one() {
    let repository = Repository::guarded(asked(), "rate-at-once");
    let works: Vec<_> = (0..4)
        .map(|number| {
            let work = repository.work();
            work.commit(&[(b"a", format!("{number}").as_bytes())], "A");
            (work, asked().token_as("robot", "ada", "10m"))
        })
        .collect();
    let passed = std::thread::scope(|scope| {
        let push = |number: usize| {
            let (work, token) = &works[number];
            let refspec = format!("+HEAD:refs/heads/robots/{number}");
            work.push_with(token, Via::Local, &[&refspec]).ok()
        };
        let racers: Vec<_> = (0..works.len())
            .map(|number| scope.spawn(move || push(number)))
            .collect();
        racers
            .into_iter()
            .map(|it| it.join().unwrap())
            .filter(|it| *it)
            .count()
    });
    assert!(passed <= 2, "{passed} of them passed");
}
