//! What people and other programs write: policy, questions, scopes, configuration, notes.

use chrono::{DateTime, Utc};
use refwarden_config::{Config, HookConfig};
use refwarden_merkle::{Hash, Line, Note};
use refwarden_policy::{Policy, Scopes};

use super::{blocks, bytes, words_of};
use crate::engine::Target;

/// Policy files; to begin with, those of the documentation.
pub fn policy() -> Target {
    let seeds = blocks(include_str!("../../../../docs/policy.md"));
    assert!(seeds.len() > 5);
    let mut words = words_of(&seeds);
    words.extend(bytes(&[
        "**",
        "refs/heads/",
        "!",
        "?",
        "{a,b}",
        "[a-z]",
        "kind:agent",
        "group:x",
        "user:a@b",
    ]));
    Target {
        name: "",
        seeds,
        words,
        longest: 4 * 1024,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            match Policy::parse(&[("p.toml", &text)]) {
                Ok(policy) => {
                    let again = Policy::parse(&[("p.toml", &text)]).unwrap();
                    assert_eq!(policy.hash(), again.hash());
                    format!("read {:?}", policy.warnings().first())
                }
                Err(error) => {
                    assert!(
                        error.line >= 1 && error.line <= text.lines().count() + 1,
                        "{error}"
                    );
                    error.problem
                }
            }
        },
    }
}

/// Questions to the ledger.
pub fn query() -> Target {
    let seeds = bytes(&[
        "repo:payments/* actor:kind=agent since:7d",
        "-state:refused,waiting rule:secret.github-* \"two words\"",
        "event:3 until:2026-01-02T03:04:05Z path:'a b' kind:push.* code:RW101",
    ]);
    Target {
        name: "",
        words: words_of(&seeds)
            .into_iter()
            .chain(bytes(&[
                ":",
                ",",
                "\"",
                "-",
                "since:",
                "until:",
                "9999999999d",
                "2026-02-30",
                "é",
            ]))
            .collect(),
        seeds,
        longest: 5 * 1024,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            match refwarden_query::parse(&text, DateTime::<Utc>::UNIX_EPOCH) {
                Ok(query) => {
                    assert!(query.terms.len() <= refwarden_query::MOST_TERMS);
                    let alternatives: usize = query.terms.iter().map(|term| term.any.len()).sum();
                    assert!(alternatives <= refwarden_query::MOST_ALTERNATIVES);
                    assert!(query.terms.iter().all(|term| !term.any.is_empty()));
                    format!(
                        "read {:?}",
                        query
                            .terms
                            .first()
                            .map(|term| std::mem::discriminant(&term.any[0]))
                    )
                }
                Err(error) => error
                    .to_string()
                    .split(", found")
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            }
        },
    }
}

/// The claim of a token that narrows it.
pub fn token_scope() -> Target {
    let seeds = bytes(&[
        r#"{"repositories": ["team/*"], "refs": ["refs/heads/**"], "paths": ["src/**"], "verbs": ["push", "fetch"]}"#,
        r#"[{"repositories": ["a"]}, {"refs": ["refs/heads/x"]}]"#,
    ]);
    Target {
        name: "",
        words: words_of(&seeds)
            .into_iter()
            .chain(bytes(&[
                "null",
                "1e400",
                "{}",
                "[]",
                "\"\\ud800\"",
                "[[[[",
                "\"**\"",
            ]))
            .collect(),
        seeds,
        longest: 4 * 1024,
        run: |input| {
            let Ok(claim) = serde_json::from_slice(input) else {
                return "no JSON".to_owned();
            };
            match Scopes::from_claim(&claim) {
                Ok(scopes) => format!(
                    "{} {} {}",
                    scopes.is_empty(),
                    scopes.may_push("a"),
                    scopes.may_fetch("team/b")
                ),
                Err(error) => error.to_string(),
            }
        },
    }
}

/// The configuration of service, proxy and hooks; to begin with, what the documentation says.
pub fn configuration() -> Target {
    let seeds = [
        blocks(include_str!("../../../../docs/identity.md")),
        blocks(include_str!("../../../../docs/notifications.md")),
        blocks(include_str!("../../../../docs/install.md")),
        blocks(include_str!("../../../../docs/auditing.md")),
    ]
    .concat();
    assert!(seeds.len() > 3);
    Target {
        name: "",
        words: words_of(&seeds),
        seeds,
        longest: 8 * 1024,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            let server = refwarden_config::parse::<Config>("c.toml", &text).map(|_| ());
            let hooks = refwarden_config::parse::<HookConfig>("c.toml", &text).map(|_| ());
            let said = [server, hooks]
                .map(|it| it.map_or_else(|error| error.to_string(), |()| "read".to_owned()));
            said.concat()
        },
    }
}

/// Signed notes and lines of the exported log.
pub fn ledger_notes() -> Target {
    let root = Hash::of_leaf(b"x").base64();
    let seeds = bytes(&[
        &format!(
            "refwarden.example/log\n12\n{root}\n\n\u{2014} refwarden.example/log YWJjZGVmZ2hpamtsbW5vcA==\n"
        ),
        &format!(
            "{{\"index\":3,\"hash\":\"{root}\",\"leaf\":{{\"v\":1,\"stream\":\"a\",\"seq\":3,\"x\":0}}}}\n"
        ),
    ]);
    Target {
        name: "",
        words: bytes(&[
            "\n\n",
            "\n",
            "\u{2014} ",
            "{\"index\":",
            ",\"hash\":\"",
            "\",\"leaf\":",
            "}",
            "18446744073709551616",
            "YQ==",
            &root,
        ]),
        seeds,
        longest: 4 * 1024,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            let note = Note::parse(&text);
            let line = Line::parse(&text);
            if let Ok(line) = &line {
                // Written anew it reads the same.
                let again = line.to_string();
                assert_eq!(Line::parse(&again).as_ref(), Ok(line));
            }
            let place = line.ok().map(|line| line.place().is_some());
            let signatures = note.map(|note| note.signatures().len().min(3));
            format!(
                "{} {place:?}",
                signatures.map_or_else(|error| error.to_string(), |it| "signed ".repeat(it))
            )
        },
    }
}
