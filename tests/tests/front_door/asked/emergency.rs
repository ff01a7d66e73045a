//! Breaking the glass: for whom, how, and what comes after.

use refwarden_testkit::{Outcome, Repository, Via, Work};

use super::setup::{asked, push_to};
use crate::shared::{count, secret};

const PROD: &str = "refs/heads/prod";

fn push(work: &Work<'_>, client: &str, person: &str, options: &[&str]) -> Outcome {
    let token = asked().token_as(client, person, "10m");
    let refspec = format!("HEAD:{PROD}");
    let mut arguments: Vec<String> = Vec::new();
    arguments.extend(options.iter().map(|it| format!("--push-option={it}")));
    arguments.push(refspec);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    work.push_with(&token, Via::Local, &arguments)
}

const BREAK: &str = "break-glass=refs/heads/prod";
const WHY: &str = "reason=The shop is down";

#[test]
fn who_may_does_with_a_reason_and_somebody_else_looks() {
    let repository = Repository::guarded(asked(), "glass");
    let work = repository.work();
    let new = work.commit(&[(b"a", b"a\n")], "Mend it");
    push(&work, "operator", "olga", &[BREAK, WHY]).passes();
    assert_eq!(repository.value(PROD), Some(new));
    assert_eq!(count(&repository, "break_glass.used", PROD), 1);
    assert_eq!(count(&repository, "request.created", PROD), 0);
    let events = asked().api("audrey").events("glass");
    let used = events
        .iter()
        .find(|it| it.kind == "break_glass.used")
        .unwrap();
    assert!(
        used.summary.contains("The shop is down"),
        "{}",
        used.summary
    );
    let id = used.request_id.clone().unwrap();
    assert_eq!(asked().api("audrey").request(&id).state, "review");

    // It stays until somebody else closes it, with words.
    let (url, home) = (
        format!("{}/r/{id}", asked().started().service_url),
        asked().started().service_url.clone(),
    );
    let digest = asked().api("audrey").request(&id).digest;
    for (person, reason, expected) in [
        ("olga", "Fine.", 403),
        ("ada", "Fine.", 404),
        ("grace", " ", 400),
    ] {
        let api = asked().api(person);
        let (status, body) = api.decide_digest(&id, "approve", reason, &digest);
        assert_eq!(status, expected, "{person}: {body}");
    }
    let mut browser = asked().browser("grace");
    assert!(browser.open(&home).body.contains(&format!("/r/{id}")));
    let page = browser.open(&url);
    assert!(page.body.contains("after-review"), "{}", page.body);
    let page = browser.decide(&url, "reject", "It could have waited.");
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(asked().api("audrey").request(&id).state, "reviewed");
    assert_eq!(count(&repository, "break_glass.reviewed", PROD), 1);
    let (status, body) = asked().api("lin").decide(&id, "approve", "Fine.");
    assert_eq!(status, 409, "{body}");
    // The next push is asked for as ever.
    work.commit(&[(b"a", b"b\n")], "More");
    push(&work, "operator", "olga", &[WHY]).fails(&["RW201"]);
}

#[test]
fn nobody_else_and_in_no_other_way() {
    let repository = Repository::guarded(asked(), "glass-whole");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    for (client, person, options, code) in [
        // An agent for whom it would be, somebody else, an approver.
        ("agent", "olga", &[BREAK, WHY][..], "RW203"),
        ("operator", "ada", &[BREAK, WHY], "RW203"),
        ("operator", "grace", &[BREAK, WHY], "RW203"),
        // No reason, or none in words.
        ("operator", "olga", &[BREAK], "RW203"),
        ("operator", "olga", &[BREAK, "reason= "], "RW203"),
        // Not typed out, or another ref's name.
        ("operator", "olga", &["break-glass=prod", WHY], "RW406"),
        ("operator", "olga", &["break-glass=", WHY], "RW406"),
        (
            "operator",
            "olga",
            &["break-glass=refs/heads/main", WHY],
            "RW406",
        ),
        ("operator", "olga", &["break-glass", WHY], "RW201"),
        ("operator", "olga", &[BREAK, WHY, "dry-run"], "RW205"),
    ] {
        push(&work, client, person, options).fails(&[code]);
    }
    // Two refs at once.
    let token = asked().token_as("operator", "olga", "10m");
    let both = [
        "--push-option=break-glass=refs/heads/prod",
        "--push-option=reason=Down",
        "--atomic",
        "HEAD:refs/heads/prod",
        "HEAD:refs/heads/main",
    ];
    work.push_with(&token, Via::Local, &both).fails(&["RW406"]);
    // What is denied stays denied.
    work.commit(&[(b"env", secret(4712).as_bytes())], "Leak");
    push(&work, "operator", "olga", &[BREAK, WHY]).fails(&["RW301"]);
    assert_eq!(repository.value(PROD), None);
    push_to(&work, "refs/heads/topic").fails(&["RW301"]);
}
