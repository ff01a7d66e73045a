//! Secrets that a push from a masked clone moves: who is asked, and when nobody is.

use refwarden_model::facts::{Allowed, SecretMove};

use super::*;

const VIEW: &str = "[[view]]\nid = \"v\"\nsee = \"masked\"\n";
const ASKS: &str = "placeholder_move = \"approve\"\n";
const OWNER: &str = "[[secret_owner]]\nid = \"o\"\nrules = [\"r*\"]\napprovers = [\"group:sec\"]\n";

fn under(text: &str) -> Policy {
    Policy::parse(&[("test", &format!("version = 1\n{text}"))]).unwrap()
}

fn moving() -> SecretMove {
    SecretMove {
        rule_id: "r".into(),
        also: Vec::new(),
        from: "conf/a".into(),
        from_line: 7,
        fingerprint: String::new(),
        path: "a".into(),
        line: 3,
        first: 3,
        last: 3,
        object: oid(b'c'),
        unsound: false,
    }
}

/// The push puts a secret at `a:3`, where it is found, too.
fn pushed(kind: UpdateKind) -> PushFacts {
    let mut facts = facts("refs/heads/main", kind);
    let mut found = finding(false);
    found.object = Some(oid(b'c'));
    facts.findings = vec![found];
    facts.findings_total = 1;
    facts.secret_moves = vec![moving()];
    facts
}

fn judged(text: &str, facts: &PushFacts) -> Verdict {
    judge(&under(text), &chain(ActorKind::Agent), facts)
}

#[test]
fn the_owners_of_the_rule_are_asked_where_the_view_says_so() {
    let text = format!("{VIEW}{ASKS}{OWNER}");
    let verdict = judged(&text, &pushed(UpdateKind::FastForward));
    assert!(verdict.denials.is_empty(), "{verdict:?}");
    let update = &verdict.updates[0];
    let asked = Requirement::new("secret_owner:o", 1, vec!["group:sec".to_owned()]);
    let expected = RefOutcome::RequireApproval {
        requirements: vec![asked],
    };
    assert_eq!(update.outcome, expected);
    assert_eq!(
        update.spoke[0].because,
        [
            "fast-forward of refs/heads/main comes through a masked view",
            "secret r from conf/a:7 to a:3"
        ]
    );
    // Nothing is asked of what brings nothing.
    for kind in [UpdateKind::NoOp, UpdateKind::Delete] {
        let verdict = judged(&text, &pushed(kind));
        assert_eq!(severity(&verdict), 0, "{kind:?}");
    }
}

#[test]
fn whatever_else_is_found_is_refused() {
    let text = format!("{VIEW}{ASKS}{OWNER}");
    let check = |edit: &dyn Fn(&mut FindingFacts)| {
        let mut facts = pushed(UpdateKind::FastForward);
        edit(&mut facts.findings[0]);
        let verdict = judged(&text, &facts);
        assert_eq!(verdict.denials[0].code, Code::SecretFound, "{verdict:?}");
    };
    check(&|it| it.line = 4);
    check(&|it| it.path = Some("b".into()));
    check(&|it| it.rule_id = "r2".into());
    check(&|it| it.object = Some(oid(b'd')));
    check(&|it| it.place = Place::Commit);
    // Another secret that the same rule finds in the same line.
    check(&|it| it.fingerprint = "another".into());
    // In an archive that is the file, too.
    check(&|it| it.via = vec!["!a".into()]);
    check(&|it| {
        it.via = vec!["!a".into()];
        it.allowed = vec![Allowed::Move];
    });
    check(&|it| {
        it.path = Some("b".into());
        it.allowed = vec![Allowed::Move];
    });
}

#[test]
fn what_reaches_into_lines_that_move_is_what_is_asked_about() {
    let text = format!("{VIEW}{ASKS}{OWNER}");
    let mut facts = pushed(UpdateKind::FastForward);
    let mut other = facts.findings[0].clone();
    (other.rule_id, other.line) = ("x".into(), 2);
    other.allowed = vec![Allowed::Move];
    facts.findings.push(other);
    facts.findings_total = 2;
    let verdict = judged(&text, &facts);
    assert!(verdict.denials.is_empty(), "{verdict:?}");
    // Without a move it speaks for nothing.
    facts.secret_moves.clear();
    let verdict = judged(&text, &facts);
    assert_eq!(verdict.denials.len(), 2, "{verdict:?}");
}

#[test]
fn the_owners_of_every_rule_that_covers_the_secret_are_asked() {
    let other = OWNER
        .replace("\"o\"", "\"p\"")
        .replace("r*", "x")
        .replace("group:sec", "group:net");
    let text = format!("{VIEW}{ASKS}{OWNER}{other}");
    let mut facts = pushed(UpdateKind::FastForward);
    facts.secret_moves[0].also = vec!["r2".into(), "x".into()];
    let verdict = judged(&text, &facts);
    let asked = |id: &str, group: &str| {
        Requirement::new(format!("secret_owner:{id}"), 1, vec![group.to_owned()])
    };
    let expected = RefOutcome::RequireApproval {
        requirements: vec![asked("o", "group:sec"), asked("p", "group:net")],
    };
    assert_eq!(verdict.updates[0].outcome, expected);
    // Each is told of it once, whichever of their rules find it.
    assert_eq!(verdict.updates[0].spoke[0].because.len(), 2);
    // A rule that nobody owns is nobody's to let pass.
    facts.secret_moves[0].also.push("z".into());
    let verdict = judged(&text, &facts);
    let told = &verdict.denials.last().unwrap();
    assert_eq!(told.code, Code::Placeholder);
    assert!(told.text.ends_with("owns the rule z"), "{}", told.text);
}

#[test]
fn without_a_view_that_asks_and_an_owner_it_is_refused() {
    let other = OWNER.replace("r*", "x");
    let whole = format!("{VIEW}{ASKS}").replace("masked", "whole");
    assert!(Policy::parse(&[("test", &format!("version = 1\n{whole}"))]).is_err());
    let twice = VIEW.replace("\"v\"", "\"w\"");
    for text in [
        OWNER.to_owned(),
        format!("{VIEW}{OWNER}"),
        format!("{VIEW}placeholder_move = \"refuse\"\n{OWNER}"),
        format!("{VIEW}{ASKS}"),
        format!("{VIEW}{ASKS}{other}"),
        // Of two views the stricter holds.
        format!("{VIEW}{ASKS}{twice}{OWNER}"),
        format!("[views]\ndefault = \"masked\"\n{OWNER}"),
    ] {
        let verdict = judged(&text, &pushed(UpdateKind::FastForward));
        let codes: Vec<Code> = verdict.denials.iter().map(|it| it.code).collect();
        assert_eq!(codes, [Code::SecretFound, Code::Placeholder], "{text}");
    }
}
