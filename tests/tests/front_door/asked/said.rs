//! Questions that approvers answer, and comments.

use refwarden_testkit::{Api, Repository};
use refwarden_wire::api::{AnswerIn, CommentIn, DecisionIn};

use super::setup::{MAIN, approve, ask, asked, push_to};
use crate::shared::count;

const RAN: &str = "Did you run it, and where?";
const READ: &str = "Have you read every line?";
const RELEASE: &str = "refs/heads/release/1";

fn answers(given: &[(&str, &str)]) -> Vec<AnswerIn> {
    let answer = |(question, answer): &(&str, &str)| AnswerIn {
        question: (*question).to_owned(),
        answer: (*answer).to_owned(),
    };
    given.iter().map(answer).collect()
}

#[test]
fn questions_are_answered_before_an_approval_counts() {
    let repository = Repository::guarded(asked(), "questions");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let id = ask(&work, RELEASE);
    let grace = asked().api("grace");
    let request = grace.request(&id);
    assert_eq!(request.questions, [RAN, READ]);
    let decide = |given: &[(&str, &str)]| {
        let body = DecisionIn {
            decision: "approve".to_owned(),
            reason: String::new(),
            digest: request.digest.clone(),
            answers: answers(given),
        };
        grace.post(&format!("/requests/{id}/decisions"), &body)
    };
    for (given, says) in [
        (&[][..], RAN),
        (&[(RAN, "here")], READ),
        (&[(RAN, "here"), (READ, " \n")], READ),
        (
            &[(RAN, "here"), (READ, "yes"), ("Else?", "no")],
            "Nobody asks",
        ),
        (&[(RAN, "here"), (READ, "yes\0")], "text"),
    ] {
        let (status, body) = decide(given);
        assert_eq!(status, 400, "{given:?}: {body}");
        assert!(body.contains(says), "{given:?}: {body}");
    }
    assert_eq!(asked().api("audrey").request(&id).state, "waiting");

    // On the page, and in the record.
    let url = format!("{}/r/{id}", asked().started().service_url);
    let mut browser = asked().browser("grace");
    let page = browser.open(&url);
    let form = page.form_with("digest");
    let set = [
        ("decision", "approve"),
        ("answer-1", "On <b>mine</b>"),
        ("answer-2", "Yes"),
    ];
    let page = browser.submit(&page, &form, &set);
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("On &#60;b&#62;mine"), "{}", page.body);
    let request = asked().api("audrey").request(&id);
    assert_eq!(request.state, "approved");
    let expected = answers(&[(RAN, "On <b>mine</b>"), (READ, "Yes")]);
    assert_eq!(request.decisions[0].answers, expected);
    let events = asked().api("audrey").events(&repository.name);
    let event = events
        .iter()
        .find(|it| it.kind == "request.approved")
        .unwrap();
    let digest = event.summary.rsplit(' ').next().unwrap();
    assert_eq!(digest.len(), 64, "{}", event.summary);
    push_to(&work, RELEASE).passes();
}

#[test]
fn whoever_rejects_need_not_answer() {
    let repository = Repository::guarded(asked(), "questions-rejected");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let id = ask(&work, RELEASE);
    let (status, body) = asked().api("grace").decide(&id, "reject", "Not now.");
    assert_eq!(status, 200, "{body}");
    push_to(&work, RELEASE).fails(&["RW202"]);
}

#[test]
fn whoever_sees_a_request_may_comment_on_it() {
    let repository = Repository::guarded(asked(), "comments");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let id = ask(&work, MAIN);
    let path = format!("/requests/{id}/comments");
    let say = |api: &Api, text: &str| {
        let text = text.to_owned();
        api.post(&path, &CommentIn { text })
    };
    let agent = Api::new(&asked().started().service_url, &asked().token("ada"));
    let (status, body) = say(&agent, "It is for <script>alert(1)</script>");
    assert_eq!(status, 200, "{body}");
    // Nobody whom it does not concern: neither another group nor another agent's human.
    for person in ["olga", "adam"] {
        let (status, body) = say(&asked().api(person), "Hello");
        let expected = if person == "adam" { 200 } else { 404 };
        assert_eq!(status, expected, "{person}: {body}");
    }
    for bad in ["", "  ", "a\0b", &"x".repeat(4001)] {
        assert_eq!(say(&agent, bad).0, 400);
    }
    let url = format!("{}/r/{id}", asked().started().service_url);
    let mut browser = asked().browser("grace");
    let page = browser.open(&url);
    assert!(page.body.contains("agent for ada"), "{}", page.body);
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
    let form = page.form_with("text");
    let target = format!("{url}/comment");
    let csrf = form.fields["csrf"].clone();
    let here = asked().started().service_url.clone();
    for (token, origin) in [(csrf.as_str(), "https://evil.example"), ("", here.as_str())] {
        let fields = [("csrf", token), ("text", "Forged")];
        let page = browser.post(&target, &fields, Some(origin));
        assert_eq!(page.status, 403, "{origin}: {}", page.body);
    }
    assert_eq!(
        browser.open(&format!("{target}?csrf={csrf}&text=x")).status,
        405
    );
    let page = browser.submit(&page, &form, &[("text", "Why?")]);
    assert_eq!(page.status, 200, "{}", page.body);
    let request = asked().api("audrey").request(&id);
    let said: Vec<_> = request.comments.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[2], "Why?");
    assert_eq!(request.state, "waiting");
    assert_eq!(count(&repository, "request.commented", MAIN), 3);
    approve(asked(), "grace", &id);
}
