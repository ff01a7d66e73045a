//! What has to hold after every trial, read from the tables and from the repository, and not
//! through the service.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::ground::{Ground, Refs};

/// What the ledger has about a repository.
pub struct Ledger(Value);

impl Ledger {
    /// Reads it, as the owner of the tables.
    pub fn read(ground: &Ground<'_>) -> Self {
        let id = &ground.id;
        let query = format!(
            "SELECT json_build_object(
               'count', (SELECT count(*) FROM events WHERE repository_id = '{id}'),
               'last', (SELECT max(seq) FROM events WHERE repository_id = '{id}'),
               'next', (SELECT next_seq FROM repositories WHERE id = '{id}'),
               'events', (SELECT coalesce(json_agg(json_build_object(
                   'seq', seq, 'kind', kind, 'push', push_id, 'request', request_id,
                   'ref', ref_name_text, 'old', old_oid, 'new', new_oid) ORDER BY seq), '[]')
                 FROM events WHERE repository_id = '{id}' AND kind LIKE 'ref.%'),
               'updates', (SELECT coalesce(json_agg(json_build_object(
                   'push', push_id, 'ref', ref_name_text, 'state', state, 'request', request_id,
                   'prepared', prepared_at IS NOT NULL)), '[]')
                 FROM ref_updates WHERE repository_id = '{id}'),
               'requests', (SELECT coalesce(json_agg(json_build_object(
                   'id', id, 'state', state, 'consumed', consumed_by)), '[]')
                 FROM requests WHERE repository_id = '{id}'))"
        );
        let url = &ground.repository.stack.started().database_url;
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-q", "-c", &query, url])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql: {said}");
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn list(&self, name: &str) -> &[Value] {
        self.0[name].as_array().map_or(&[], Vec::as_slice)
    }

    /// The state of a request.
    pub fn request(&self, id: &str) -> String {
        let found = self.list("requests").iter().find(|it| text(it, "id") == id);
        found.map_or_else(String::new, |it| text(it, "state").to_owned())
    }

    /// Everything that does not hold.
    pub fn violations(&self, ground: &Ground<'_>) -> Vec<String> {
        let mut broken = Vec::new();
        self.gapless(&mut broken);
        self.moves(&ground.base, &ground.refs(), &mut broken);
        self.approvals(&mut broken);
        for update in self.list("updates") {
            if text(update, "state") == "prepared" {
                broken.push(format!("{} stays prepared", text(update, "ref")));
            }
        }
        let fsck = ["fsck", "--connectivity-only", "--no-dangling"];
        let fsck = ground.repository.git(&fsck);
        if !fsck.ok() {
            broken.push(format!("git fsck: {}", fsck.said().trim()));
        }
        broken
    }

    /// I3.
    fn gapless(&self, broken: &mut Vec<String>) {
        let number = |name: &str| self.0[name].as_i64().unwrap_or_default();
        if number("count") != number("last") || number("next") != number("last") + 1 {
            broken.push(format!(
                "{} events, the last is {}, the next {}",
                number("count"),
                number("last"),
                number("next")
            ));
        }
    }

    /// I1: each move was prepared before, each starts where the last one ended, and the last ones
    /// are where the refs are. Nobody moves anything out of band here.
    fn moves(&self, base: &Refs, live: &Refs, broken: &mut Vec<String>) {
        let mut fold = base.clone();
        let mut prepared = BTreeSet::new();
        let mut committed = BTreeSet::new();
        for event in self.list("events") {
            let name = text(event, "ref");
            let whose = (text(event, "push"), name);
            match text(event, "kind") {
                "ref.out_of_band" => broken.push(format!("{name} is recorded as out of band")),
                "ref.prepared" => {
                    prepared.insert(whose);
                }
                "ref.committed" => {
                    if !prepared.contains(&whose) {
                        broken.push(format!("{name} has moved without having been prepared"));
                    }
                    if !committed.insert(whose) {
                        broken.push(format!("{name} is recorded twice for one push"));
                    }
                    let (old, new) = (oid(event, "old"), oid(event, "new"));
                    if fold.get(name).map(String::as_str) != old {
                        let before = fold.get(name);
                        broken.push(format!("{name} moves from {old:?}, and was {before:?}"));
                    }
                    match new {
                        None => fold.remove(name),
                        Some(new) => fold.insert(name.to_owned(), new.to_owned()),
                    };
                }
                _ => {}
            }
        }
        let names: BTreeSet<&String> = fold.keys().chain(live.keys()).collect();
        for name in names {
            let (recorded, actual) = (fold.get(name), live.get(name));
            if recorded != actual {
                broken.push(format!(
                    "{name} is {actual:?}, and {recorded:?} in the ledger"
                ));
            }
        }
    }

    /// I2.
    fn approvals(&self, broken: &mut Vec<String>) {
        let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for update in self.list("updates") {
            if update["prepared"] == true && update["request"].is_string() {
                let request = text(update, "request");
                users
                    .entry(request)
                    .or_default()
                    .insert(text(update, "push"));
            }
        }
        for request in self.list("requests") {
            let id = text(request, "id");
            let used = text(request, "state") == "used";
            let consumed = request["consumed"].as_str();
            let users = users.remove(id).unwrap_or_default();
            if users.len() > 1 {
                broken.push(format!("approval {id} was used by {} pushes", users.len()));
            }
            if used != consumed.is_some() || used != (users.len() == 1) {
                broken.push(format!(
                    "approval {id}: used is {used}, consumed by {consumed:?}, prepared for {users:?}"
                ));
            }
            if let Some(consumed) = consumed
                && !users.contains(consumed)
            {
                broken.push(format!("approval {id} was consumed by another push"));
            }
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn oid<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    let oid = text(value, name);
    oid.bytes().any(|byte| byte != b'0').then_some(oid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const A: &str = "aaaa";
    const B: &str = "bbbb";
    const ZERO: &str = "0000";

    fn event(kind: &str, push: &str, old: &str, new: &str) -> Value {
        json!({"kind": kind, "push": push, "ref": "refs/heads/x", "old": old, "new": new})
    }

    fn moves(events: &[Value], live: &[(&str, &str)]) -> usize {
        let refs = |pairs: &[(&str, &str)]| -> Refs {
            let owned = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into()));
            owned.collect()
        };
        let mut broken = Vec::new();
        Ledger(json!({"events": events})).moves(&refs(&[]), &refs(live), &mut broken);
        broken.len()
    }

    #[test]
    fn what_the_refs_and_the_ledger_do_not_agree_on_is_told() {
        let prepared = event("ref.prepared", "p", ZERO, A);
        let committed = event("ref.committed", "p", ZERO, A);
        let whole = [prepared.clone(), committed.clone()];
        let live = [("refs/heads/x", A)];
        assert_eq!(moves(&whole, &live), 0);
        // Moved without a record, recorded without a move, moved elsewhere.
        assert_eq!(moves(&[], &live), 1);
        assert_eq!(moves(&whole, &[]), 1);
        assert_eq!(moves(&whole, &[("refs/heads/x", B)]), 1);
        // Not prepared; twice; from elsewhere; out of band.
        assert_eq!(moves(std::slice::from_ref(&committed), &live), 1);
        let twice = [&whole[..], std::slice::from_ref(&committed)].concat();
        assert_eq!(moves(&twice, &live), 2);
        assert_eq!(
            moves(&[prepared, event("ref.committed", "p", B, A)], &live),
            1
        );
        let around = [&whole[..], &[event("ref.out_of_band", "", A, A)]].concat();
        assert_eq!(moves(&around, &live), 1);
    }

    #[test]
    fn an_approval_that_was_not_consumed_exactly_once_is_told() {
        let check = |state: &str, consumed: Option<&str>, pushes: &[&str]| {
            let update = |push: &&str| json!({"push": push, "request": "r", "prepared": true});
            let updates: Vec<Value> = pushes.iter().map(update).collect();
            let requests = json!([{"id": "r", "state": state, "consumed": consumed}]);
            let mut broken = Vec::new();
            Ledger(json!({"updates": updates, "requests": requests})).approvals(&mut broken);
            broken.is_empty()
        };
        assert!(check("approved", None, &[]));
        assert!(check("used", Some("p"), &["p"]));
        assert!(!check("used", Some("p"), &[]));
        assert!(!check("used", Some("p"), &["q"]));
        assert!(!check("used", Some("p"), &["p", "q"]));
        assert!(!check("approved", None, &["p"]));
    }

    #[test]
    fn a_number_that_is_missing_is_told() {
        let check = |count: i64, last: i64, next: i64| {
            let mut broken = Vec::new();
            Ledger(json!({"count": count, "last": last, "next": next})).gapless(&mut broken);
            broken.is_empty()
        };
        assert!(check(3, 3, 4));
        assert!(!check(2, 3, 4));
        assert!(!check(3, 3, 5));
    }
}
