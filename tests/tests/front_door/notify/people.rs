//! What people read: Slack, Teams and mail, and who gets mail at all.

use refwarden_testkit::{Repository, until};
use serde_json::Value;

use super::mail::{plain, recipients};
use super::setup::{PATIENCE, ask, channel, holding, problem, told};
use crate::shared::approve;

#[test]
fn slack_and_teams_get_their_shapes_and_no_markup_from_outside() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "shapes");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let name = "refs/heads/release/<!channel>&_x_";
    let request = ask(&work, name);
    let url = format!("{}/r/{request}", told.stack.started().service_url);

    let slack = holding(&told.slack_like, &request);
    assert_eq!(slack.path, "/services/T0/B0/X");
    let body = slack.json();
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("release/&lt;!channel&gt;&amp;_x_"), "{text}");
    assert!(text.contains(&url), "{text}");
    for block in body["blocks"].as_array().unwrap() {
        let shown = block["text"]["text"].as_str().unwrap();
        if block["text"]["type"] == "mrkdwn" {
            assert_eq!(shown, format!("<{url}|Open the request>"));
        }
    }
    let facts = body["blocks"][1]["text"]["text"].as_str().unwrap();
    for words in [
        "Repository: shapes",
        "creates a branch",
        "agent (agent) for ada (human)",
    ] {
        assert!(facts.contains(words), "{facts}");
    }

    let teams = holding(&told.teams, &request);
    assert_eq!(teams.path, "/workflows/1/invoke");
    let body = teams.json();
    assert_eq!(body["type"], "message");
    let attachment = &body["attachments"][0];
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachment["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    assert_eq!(card["actions"][0]["url"], url.as_str());
    for block in card["body"].as_array().unwrap() {
        assert_eq!(block["type"], "RichTextBlock");
    }
    assert!(card["body"].to_string().contains(name), "{card}");
}

#[test]
fn mail_asks_whoever_can_decide_and_nobody_else() {
    let told = told();
    for person in ["grace", "adam"] {
        told.stack.browser(person);
    }
    let repository = Repository::guarded(&told.stack, "mailed");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    let link = format!("{}/r/{request}", told.stack.started().service_url);
    // Ada is listed as a maintainer too, but the agent acts for her.
    let expected = ["grace@example.org", "lin@example.org"];
    until("both have mail", PATIENCE, || {
        (recipients(&told.mail, &link) == expected).then_some(())
    });
    let mails = told.mail.taken();
    let mail = mails.iter().find(|it| plain(it).contains(&link)).unwrap();
    let text = plain(mail);
    for words in [
        "Subject: Approval wanted: mailed refs/heads/main",
        "Auto-Submitted: auto-generated",
        "Message-ID: <msg_",
        "Pushed by: agent (agent) for ada (human)",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    // An author does not decide, so she is not asked.
    let author = "--author=Grace <Grace@Example.org>";
    work.git(&["commit", "-q", "--amend", "--no-edit", author]);
    let hers = ask(&work, "refs/heads/main");
    let link = format!("{}/r/{hers}", told.stack.started().service_url);
    until("lin has mail", PATIENCE, || {
        (recipients(&told.mail, &link) == ["lin@example.org"]).then_some(())
    });

    // How it ended is told to the person who is acted for.
    approve(&told.stack, &request);
    until("ada has mail", PATIENCE, || {
        let about = |mail: &&Value| {
            let text = plain(mail);
            text.contains(&request) && text.contains("Subject: Approved: mailed")
        };
        let to: Vec<Value> = told
            .mail
            .taken()
            .iter()
            .filter(about)
            .map(|it| it["to"][0].clone())
            .collect();
        (to == ["ada@example.org"]).then_some(())
    });
}

#[test]
fn mail_goes_by_tls_to_a_server_that_is_known_and_to_no_other() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "sealed");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    let taken = until("mail by TLS", PATIENCE, || {
        let taken = told.guarded_mail.taken();
        taken.into_iter().find(|it| plain(it).contains(&request))
    });
    assert_eq!(taken["tls"], true);
    assert_eq!(taken["login"], true);
    problem(&told.stack, "stranger", "certificate");
    assert_eq!(channel(&told.stack, "stranger").delivered, 0);
}
