//! Pushes that bring the same bytes at once, whatever becomes of them: each is recorded, and none
//! waits for one that waits for it.

use std::sync::Barrier;

use refwarden_testkit::{Repository, Stack};
use refwarden_wire::hook::{FRAMED, PUSHES, TOKEN_HEADER, UNTRANSLATED};
use reqwest::blocking::Client;
use serde_json::{Value, json};

/// What becomes of a push, as the service answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Released,
    /// For a request, which is looked for under the repository's lock, before the pack is recorded.
    Waiting,
    Denied,
    /// One from a masked clone, which the host refuses itself.
    Untranslated,
}

const FATES: [Fate; 4] = [
    Fate::Released,
    Fate::Waiting,
    Fate::Denied,
    Fate::Untranslated,
];

/// Pushes of each fate at once.
const EACH: usize = 4;

const PACKS: usize = 8;

struct Sender<'a> {
    client: Client,
    service: &'a str,
    credential: String,
    token: String,
    repository: String,
}

impl Sender<'_> {
    /// Tells the service of a push with a pack, as a host's hook does.
    fn send(&self, fate: Fate, number: usize, pack: &[u8]) -> (u16, String) {
        let correlation =
            json!({"boot_id": "b", "pid_namespace": 1, "pid": 1, "start_ticks": number});
        let (path, head) = if fate == Fate::Untranslated {
            (UNTRANSLATED, self.untranslated(&correlation, pack))
        } else {
            (PUSHES, self.push(fate, &correlation, number, pack))
        };
        let head = head.to_string();
        let length = u32::try_from(head.len()).unwrap().to_be_bytes();
        let mut request = self
            .client
            .post(format!("{}{path}", self.service))
            .bearer_auth(&self.credential)
            .header("content-type", FRAMED)
            .body([&length, head.as_bytes(), pack].concat());
        if fate != Fate::Denied {
            request = request.header(TOKEN_HEADER, &self.token);
        }
        let answer = request.send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }

    fn untranslated(&self, correlation: &Value, pack: &[u8]) -> Value {
        json!({
            "refused": {"repository": self.repository, "correlation": correlation,
                "transport": "http", "client_address": null, "code": "RW408",
                "text": "it could not be translated"},
            "masked": {"view": "0".repeat(64), "ruleset": "r", "updates": [],
                "pack_bytes": pack.len()},
        })
    }

    fn push(&self, fate: Fate, correlation: &Value, number: usize, pack: &[u8]) -> Value {
        let name = match fate {
            Fate::Waiting => "refs/heads/main".to_owned(),
            _ => format!("refs/heads/same/{number}"),
        };
        json!({
            "repository": self.repository, "correlation": correlation, "transport": "local",
            "hook_version": env!("CARGO_PKG_VERSION"), "timings": {}, "pack_bytes": pack.len(),
            "facts": {
                "object_format": "sha1",
                "updates": [{
                    "ref_name": name, "target": name,
                    "claimed_old": "0".repeat(40), "actual_old": "0".repeat(40),
                    "new": "1".repeat(40), "kind": "create", "new_type": "commit",
                    "gained": 0, "lost": 0, "default_branch": false,
                }],
                "commits": [], "commits_total": 0,
                "findings": [], "findings_total": 0, "objects_scanned": 0,
                "push_options": [], "ruleset_id": "r",
            },
        })
    }
}

#[test]
fn pushes_of_one_pack_at_once_are_all_recorded() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "same-pack");
    let credential = std::fs::read_to_string(stack.directory().join("host.key")).unwrap();
    let sender = Sender {
        client: Client::builder().no_proxy().build().unwrap(),
        service: &stack.started().service_url,
        credential: credential.trim().to_owned(),
        token: stack.token("ada"),
        repository: repository.git(&["config", "refwarden.repository"]).text(),
    };
    for round in 0..PACKS {
        // The store keeps what comes, and asks nobody what it means.
        let pack = format!("PACK {round}").into_bytes();
        let begin = Barrier::new(FATES.len() * EACH);
        let one = |index: usize| {
            let fate = FATES[index % FATES.len()];
            let number = round * FATES.len() * EACH + index + 1;
            begin.wait();
            (fate, sender.send(fate, number, &pack))
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let one = &one;
            let all: Vec<_> = (0..FATES.len() * EACH)
                .map(|index| scope.spawn(move || one(index)))
                .collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for (fate, (status, text)) in answers {
            if fate == Fate::Untranslated {
                assert_eq!(status, 204, "{text}");
                continue;
            }
            assert_eq!(status, 200, "{fate:?}: {text}");
            let out: Value = serde_json::from_str(&text).unwrap();
            let expected = format!("{fate:?}").to_lowercase();
            assert_eq!(out["outcome"], expected, "{text}");
        }
    }
    let logs = stack.logs();
    assert!(!logs.contains("deadlock"), "{logs}");
    let events = stack.api("audrey").events("same-pack");
    for kind in [
        "push.released",
        "push.waiting",
        "push.denied",
        "push.refused",
    ] {
        let found = events.iter().filter(|event| event.kind == kind).count();
        assert_eq!(found, EACH * PACKS, "{kind}");
    }
    // Numbers have no gaps; times are of when a push came, in whatever order they were recorded.
    let mut numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    numbers.sort_unstable();
    let expected: Vec<i64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}
