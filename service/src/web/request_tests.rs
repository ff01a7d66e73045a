//! A request's page with everything on it chosen by an attacker.

use super::*;
use crate::web::patch;
use crate::web::views::File;

const SCRIPT: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

fn hostile() -> Page {
    let text = || SCRIPT.to_owned();
    let person = || Person {
        name: text(),
        kind: "agent",
    };
    let file = File {
        anchor: "f0-0".into(),
        status: "added",
        path: visible_line(format!("{SCRIPT}\n\u{202e}gpj.exe").as_bytes()),
        lines: Some((1, 0)),
        mode: Some(text()),
        rows: patch::rows(
            format!("@@ -0,0 +1 @@ {SCRIPT}\n+</td></table>{SCRIPT}\u{200b}\n").as_bytes(),
            10,
        )
        .0,
        note: None,
    };
    let commit = || Commit {
        oid: "0123456789".into(),
        subject: text(),
        body: format!("</pre>{SCRIPT}"),
        author: text(),
        signed: true,
        is_merge: true,
        is_from_elsewhere: true,
        files: vec![],
    };
    Page {
        who: Some(text()),
        csrf: text(),
        id: text(),
        digest: text(),
        state: "waiting".into(),
        repository: text(),
        ref_name: visible_line(format!("refs/heads/{SCRIPT}").as_bytes()),
        kind: text(),
        old: None,
        new: Some(text()),
        pusher: person(),
        on_behalf_of: vec![person()],
        client: text(),
        through: Some(Through {
            view: text(),
            ruleset: text(),
            rules: text(),
            refs: text(),
            moves: vec![Moving {
                rule: text(),
                from: text(),
                to: text(),
                fingerprint: text(),
                unsound: true,
            }],
        }),
        created: text(),
        age: text(),
        expires: text(),
        said: vec![("Reason", text())],
        needs: vec![Need {
            rule: text(),
            have: 0,
            quorum: 1,
            approvers: text(),
        }],
        decisions: vec![Decision {
            who: text(),
            what: "approved",
            reason: text(),
            answers: vec![(text(), text())],
            when: text(),
        }],
        findings: vec![Finding {
            rule: text(),
            place: text(),
            redacted: text(),
            pre_existing: false,
        }],
        commits: vec![
            Commit {
                files: vec![file],
                ..commit()
            },
            commit(),
        ],
        summary: text(),
        warnings: vec![text()],
        note: None,
        survives_rebase: true,
        kept: vec![(text(), text())],
        questions: vec![Question {
            text: text(),
            shown: text(),
        }],
        comments: vec![Comment {
            who: text(),
            text: text(),
            when: text(),
        }],
        may_decide: true,
        why_not: String::new(),
    }
}

#[test]
fn nothing_that_a_pusher_chose_is_markup() {
    let page = hostile();
    let html = page.render().unwrap();
    assert!(
        !html.contains("<script>") && !html.contains("<img"),
        "{html}"
    );
    assert!(!html.contains(&format!("value=\"{SCRIPT}")), "{html}");
    // Quotes are escaped too: no text leaves its attribute.
    assert!(!html.contains("\"'>"), "{html}");
    assert!(html.contains("&#60;U+202E&#62;gpj.exe"), "{html}");
    assert!(html.contains("&#60;U+200B&#62;"), "{html}");
}

#[test]
fn whoever_may_not_decide_is_told_why_and_given_no_form() {
    let page = Page {
        may_decide: false,
        why_not: "whoever pushed cannot decide".into(),
        ..hostile()
    };
    let html = page.render().unwrap();
    assert!(html.contains("whoever pushed cannot decide"), "{html}");
    assert!(!html.contains("name=\"digest\""), "{html}");
}

#[test]
fn options_that_speak_are_told() {
    let pushed = serde_json::json!(["reason=a=b", "ticket=T-1", "token=x", "reason"]);
    assert_eq!(
        options(&pushed),
        [("Reason", "a=b".to_owned()), ("Ticket", "T-1".to_owned())]
    );
}

#[test]
fn the_zero_id_is_nothing() {
    assert_eq!(oid(&"0".repeat(40)), None);
    assert_eq!(oid("0a"), Some("0a".to_owned()));
}
