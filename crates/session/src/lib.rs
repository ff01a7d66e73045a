//! A push as a session, step by step: what came, what was learned, what was said, what moved. From what
//! the service records; it asks nobody and waits for nothing, and knows neither terminal nor page:
//! whoever shows the steps says how text from outside is made harmless there.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use refwarden_model::ByteText;
use refwarden_model::facts::{CommitFacts, FindingFacts, PushFacts, RefFacts};
use refwarden_wire::api::{EventOut, PushRecordOut, RequestOut};
use serde::Serialize;

/// Commits, and files of one, that are named; the rest is counted.
const MOST: usize = 20;

/// What the service has of a push.
#[derive(Debug)]
pub struct Session {
    /// The push as it was judged.
    pub record: PushRecordOut,
    /// Of the push, and of its requests.
    pub events: Vec<EventOut>,
    /// What people were asked.
    pub requests: Vec<RequestOut>,
    /// The repository right before; none where it had no record then.
    pub before: Option<Before>,
}

/// A repository before a push.
#[derive(Debug)]
pub struct Before {
    /// How many refs it had.
    pub refs: usize,
    /// What HEAD named.
    pub head: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When.
    pub at: DateTime<Utc>,
    /// Since the push came in.
    pub after_ms: i64,
    /// A word for it: an event's kind, or what the hook did.
    pub what: String,
    /// More about it, one thing a line.
    pub lines: Vec<String>,
}

impl Step {
    /// When, since the push came in: `+1.234 s`, or hours, minutes and seconds where it took longer.
    pub fn offset(&self) -> String {
        let sign = if self.after_ms < 0 { '-' } else { '+' };
        let ms = self.after_ms.unsigned_abs();
        let seconds = ms / 1000;
        if seconds < 60 {
            return format!("{sign}{seconds}.{:03} s", ms % 1000);
        }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        format!("{sign}{hours}:{minutes:02}:{:02}", seconds % 60)
    }
}

/// The steps in the order in which they happened. `shown` makes text of any origin one that may stand on
/// a line of its own where the steps are shown.
pub fn steps(session: &Session, shown: &dyn Fn(&str) -> String) -> Vec<Step> {
    let record = &session.record;
    let mut all = Vec::new();
    let came = record.received_at;
    let mut add = |at: DateTime<Utc>, what: &str, lines: Vec<String>| {
        all.push(Step {
            at,
            after_ms: (at - came).num_milliseconds(),
            what: shown(what),
            lines: lines.iter().map(|line| shown(line)).collect(),
        });
    };
    add(came, "connected", connected(session));
    if let Some(facts) = &record.facts {
        add(came, "asked", facts.updates.iter().map(asked).collect());
        add(came, "sent", sent(record, facts));
        add(came, "scanned", scanned(facts));
    }
    add(came, "judged", judged(record));
    for event in &session.events {
        add(event.recorded_at, &event.kind, told(event));
    }
    for request in &session.requests {
        for decision in &request.decisions {
            let mut lines = vec![format!(
                "{} on {}: {}",
                decision.approver, request.id, decision.reason
            )];
            lines.extend(decision.answers.iter().map(|it| {
                let (question, answer) = (&it.question, &it.answer);
                format!("{question} {answer}")
            }));
            let what = format!("decision {}", decision.decision);
            add(decision.decided_at, &what, lines);
        }
        for comment in &request.comments {
            let line = format!("{} on {}: {}", comment.author, request.id, comment.text);
            add(comment.created_at, "comment", vec![line]);
        }
    }
    // What happened at one time stays in the order in which it was added.
    all.sort_by_key(|step| step.at);
    all
}

fn connected(session: &Session) -> Vec<String> {
    let record = &session.record;
    let mut lines = Vec::new();
    if let Some(by) = &record.session {
        let mut line = by.transport.clone();
        if let Some(address) = &by.client_address {
            let _ = write!(line, " from {address}");
        }
        if let Some(agent) = &by.client_agent {
            let _ = write!(line, ", {agent}");
        }
        let _ = write!(line, ", to host {} (hook {})", by.host, by.hook_version);
        lines.push(line);
        lines.extend(by.masked.as_ref().map(|masked| {
            format!(
                "through the masked view {}, translated from its names",
                masked.view
            )
        }));
    }
    lines.push(match &record.chain {
        Some(chain) => format!("{} ({})", chain.describe(), chain.pusher.issuer),
        None => "nobody whose token was accepted".to_owned(),
    });
    let token = record
        .session
        .as_ref()
        .and_then(|by| by.token_sha256.as_ref());
    lines.extend(token.map(|token| format!("token with SHA-256 {token}")));
    let options = record.facts.iter().flat_map(|facts| &facts.push_options);
    lines.extend(options.map(|option| format!("push option {option}")));
    lines.push(match &session.before {
        Some(before) => format!(
            "{} had {}, HEAD {}",
            record.repository,
            count(before.refs, "ref"),
            before.head
        ),
        None => format!("nothing of {} was on record", record.repository),
    });
    lines
}

fn asked(update: &RefFacts) -> String {
    let mut line = format!(
        "{} {}..{} {}",
        update.ref_name,
        short(&update.actual_old.to_string()),
        short(&update.new.to_string()),
        update.kind.name()
    );
    if update.target != update.ref_name {
        let _ = write!(line, ", which is {}", update.target);
    }
    if update.claimed_old != update.actual_old {
        let _ = write!(line, ", claimed to be at {}", update.claimed_old);
    }
    let _ = write!(line, ", gains {}, loses {}", update.gained, update.lost);
    line
}

fn sent(record: &PushRecordOut, facts: &PushFacts) -> Vec<String> {
    let pack = record.session.as_ref().and_then(|by| by.pack.as_ref());
    let mut lines = vec![match pack {
        Some(pack) => match pack.bytes {
            Some(bytes) => format!("pack {} of {bytes} bytes", pack.digest),
            None => format!("pack {}, which is no longer kept", pack.digest),
        },
        None => "no pack".to_owned(),
    }];
    for commit in facts.commits.iter().take(MOST) {
        commit_lines(&mut lines, commit);
    }
    let named = facts.commits.len().min(MOST);
    let named = u64::try_from(named).unwrap_or(u64::MAX);
    more(&mut lines, "", facts.commits_total, named, "commit");
    lines
}

fn commit_lines(lines: &mut Vec<String>, commit: &CommitFacts) {
    let message = commit.message.lossy();
    let subject = message.lines().next().unwrap_or_default();
    let author = commit.author.lossy();
    // Behind the address is the time.
    let author = author.rsplit_once("> ").map_or(&*author, |it| it.0);
    let signature = match &commit.signature {
        Some(signature) => signature.state.name(),
        None if commit.signed => "signed",
        None => "unsigned",
    };
    let oid = commit.oid.to_string();
    lines.push(format!("commit {} {subject}", short(&oid)));
    let closing = if author.contains('<') { ">" } else { "" };
    lines.push(format!("  by {author}{closing}, {signature}"));
    for change in commit.changes.iter().take(MOST) {
        let lines_of = |number: Option<u64>| number.map_or("-".to_owned(), |it| it.to_string());
        lines.push(format!(
            "  {} {} +{} -{}",
            change.status,
            change.path,
            lines_of(change.added),
            lines_of(change.deleted)
        ));
    }
    let named = u64::try_from(commit.changes.len().min(MOST)).unwrap_or(u64::MAX);
    more(lines, "  ", commit.changes_total, named, "file");
}

fn more(lines: &mut Vec<String>, indent: &str, total: u64, named: u64, what: &str) {
    if let Some(left @ 1..) = total.checked_sub(named) {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        lines.push(format!("{indent}and {} more", count(left, what)));
    }
}

fn scanned(facts: &PushFacts) -> Vec<String> {
    let objects = usize::try_from(facts.objects_scanned).unwrap_or(usize::MAX);
    let found = usize::try_from(facts.findings_total).unwrap_or(usize::MAX);
    let mut lines = vec![format!(
        "{} with rules {}: {}",
        count(objects, "object"),
        facts.ruleset_id,
        count(found, "secret")
    )];
    lines.extend(facts.findings.iter().take(MOST).map(finding));
    let named = u64::try_from(facts.findings.len().min(MOST)).unwrap_or(u64::MAX);
    more(&mut lines, "", facts.findings_total, named, "secret");
    lines
}

fn finding(finding: &FindingFacts) -> String {
    let path = finding.path.as_ref().map(ByteText::to_string);
    let place = path.unwrap_or_else(|| finding.place.name().to_owned());
    let pre_existing = if finding.pre_existing {
        ", known to the repository"
    } else {
        ""
    };
    format!(
        "{} {place}{}:{}:{} {}{pre_existing}",
        finding.rule_id,
        finding.members(),
        finding.line,
        finding.column,
        finding.redacted
    )
}

fn judged(record: &PushRecordOut) -> Vec<String> {
    let mut lines = vec![format!("by policy {}", record.policy_hash)];
    if !record.codes.is_empty() {
        lines.push(format!("codes {}", record.codes.join(" ")));
    }
    let by = record.session.iter();
    let spent: Vec<String> = by
        .flat_map(|by| &by.timings)
        .map(|(step, micros)| format!("{step} {}.{:03}", micros / 1000, micros % 1000))
        .collect();
    if !spent.is_empty() {
        lines.push(format!("the hook spent, in ms: {}", spent.join(", ")));
    }
    lines
}

fn told(event: &EventOut) -> Vec<String> {
    let codes = event.codes.join(" ");
    let mut lines = vec![
        [codes.as_str(), &event.summary]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
    ];
    if let (Some(name), Some(old), Some(new)) = (&event.ref_name, &event.old, &event.new) {
        lines.push(format!("{name} {}..{}", short(old), short(new)));
    }
    lines.push(format!("event {} by {}", event.seq, event.actor));
    lines
}

fn short(oid: &str) -> &str {
    oid.get(..12).unwrap_or(oid)
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session() -> Session {
        let (zero, new) = ("0".repeat(40), "a".repeat(40));
        let escape = "\u{1b}[2J\u{202e}x\r\n+9.999 s  ref.committed";
        let commit = json!({
            "oid": new, "parents": [], "tree": new, "author": "A <a@b> 1 +0000",
            "committer": "A <a@b> 1 +0000", "message": format!("{escape}\nmore"), "signed": false,
            "changes_total": 30,
            "changes": [{"path": "a\nb", "old_mode": "000000", "new_mode": "100644",
                "old_oid": zero, "new_oid": new, "status": "A", "added": 1, "deleted": null,
                "patch": "", "patch_cut": false}],
        });
        let record = json!({
            "id": uuid::Uuid::nil(), "repository": "app", "received_at": "2026-01-01T00:00:00Z",
            "chain": null, "policy_hash": "p", "state": "granted", "codes": ["RW201"],
            "verdict": {},
            "facts": {
                "object_format": "sha1",
                "updates": [{"ref_name": "refs/heads/main", "target": "refs/heads/main",
                    "claimed_old": new, "actual_old": zero, "new": new, "kind": "create",
                    "new_type": "commit", "gained": 1, "lost": 0}],
                "commits": vec![commit; 25], "commits_total": 40,
                "findings": [{"rule_id": "r", "fingerprint": "f", "place": "blob", "object": new,
                    "path": "a", "commit": new, "line": 1, "column": 2, "redacted": "ghp_..x",
                    "pre_existing": true, "checksum": null}],
                "findings_total": 1, "objects_scanned": 1, "push_options": [escape],
                "ruleset_id": "s",
            },
            "session": {"transport": "ssh", "client_address": "::1", "client_agent": escape,
                "host": "h", "hook_version": "1", "token_sha256": "t",
                "pack": {"digest": "d", "bytes": 7}, "timings": {"start": 1234}},
        });
        let event = |seq: i64, at: &str, kind: &str| {
            serde_json::from_value(json!({
                "seq": seq, "recorded_at": at, "repository": "app", "kind": kind, "actor": escape,
                "push_id": null, "request_id": null, "ref_name": null, "old": null, "new": null,
                "codes": [], "summary": escape,
            }))
            .unwrap()
        };
        let request = json!({
            "id": "R-1", "state": "used", "repository": "app", "ref_name": "refs/heads/main",
            "old": zero, "new": new, "kind": "create", "actor": "ada", "quorum": 1,
            "approvers": [], "questions": [], "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z", "digest": "d", "url": "u",
            "decisions": [{"approver": "grace", "decision": "approve", "reason": escape,
                "decided_at": "2026-01-01T00:01:00Z", "answers": []}],
            "comments": [], "survives_rebase": false, "kept": [],
        });
        Session {
            record: serde_json::from_value(record).unwrap(),
            events: vec![
                event(3, "2026-01-01T00:00:00Z", "push.waiting"),
                event(9, "2026-01-01T00:02:00Z", escape),
            ],
            requests: vec![serde_json::from_value(request).unwrap()],
            before: None,
        }
    }

    #[test]
    fn steps_come_in_the_order_of_time_and_count_what_they_leave_out() {
        let steps = steps(&session(), &str::to_owned);
        let whats: Vec<_> = steps.iter().map(|step| step.what.as_str()).collect();
        let begin = [
            "connected",
            "asked",
            "sent",
            "scanned",
            "judged",
            "push.waiting",
        ];
        assert_eq!(whats[..6], begin);
        assert_eq!(whats[6], "decision approve");
        assert_eq!(steps[6].after_ms, 60_000);
        assert_eq!(steps[7].after_ms, 120_000);
        let has = |step: usize, words: &str| {
            let lines = &steps[step].lines;
            assert!(lines.iter().any(|line| line.contains(words)), "{lines:?}");
        };
        has(0, "ssh from ::1");
        has(
            1,
            "000000000000..aaaaaaaaaaaa create, claimed to be at aaaa",
        );
        has(2, "pack d of 7 bytes");
        has(2, "by A <a@b>, unsigned");
        has(2, "  and 29 files more");
        has(2, "and 20 commits more");
        has(3, "1 object with rules s: 1 secret");
        has(3, "r a:1:2 ghp_..x, known to the repository");
        has(4, "start 1.234");
    }

    #[test]
    fn every_text_is_made_harmless() {
        let shown = |text: &str| format!("<{}>", text.escape_default());
        for step in steps(&session(), &shown) {
            for text in step.lines.iter().chain([&step.what]) {
                assert!(text.starts_with('<') && text.ends_with('>'), "{text:?}");
            }
        }
    }

    #[test]
    fn offsets_are_short() {
        let offset = |after_ms| {
            let step = Step {
                at: DateTime::UNIX_EPOCH,
                after_ms,
                what: String::new(),
                lines: Vec::new(),
            };
            step.offset()
        };
        assert_eq!(offset(0), "+0.000 s");
        assert_eq!(offset(59_999), "+59.999 s");
        assert_eq!(offset(3_725_000), "+1:02:05");
        assert_eq!(offset(-1500), "-1.500 s");
    }
}
