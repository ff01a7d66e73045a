//! What differs between the ledger and the repository.

use std::collections::{BTreeMap, HashSet};

use refwarden_gitio::refs::{AllRefs, RefValue};
use refwarden_model::ByteText;
use refwarden_wire::reconcile::{CHANGES_MAX, Change, LedgerOut, ReconcileIn};

/// The value of a symbolic ref, as the ledger writes it.
fn symbolic(target: &[u8]) -> ByteText {
    ByteText::new([b"ref: ", target].concat())
}

/// Every ref, HEAD and symbolic ref that is not where the ledger has it, by name, at most
/// [`CHANGES_MAX`]. Those that a push is about to move are left out.
pub fn changes(known: &LedgerOut, live: &AllRefs) -> Vec<Change> {
    let head = match &live.head {
        RefValue::Direct(oid) => Some(ByteText::new(oid.to_string())),
        RefValue::Symbolic(target) => Some(symbolic(target.as_bytes())),
        RefValue::Missing => None,
    };
    let known_head = if known.head.as_bytes().starts_with(b"refs/") {
        symbolic(known.head.as_bytes())
    } else {
        known.head.clone()
    };
    let name = ByteText::from("HEAD");
    let mut old: BTreeMap<ByteText, ByteText> = known
        .refs
        .iter()
        .map(|one| (one.name.clone(), one.value.clone()))
        .collect();
    old.insert(name.clone(), known_head);
    let mut new: BTreeMap<ByteText, ByteText> = BTreeMap::new();
    new.extend(head.map(|head| (name, head)));
    for (name, oid) in &live.refs {
        new.insert(
            ByteText::new(name.as_bytes()),
            ByteText::new(oid.to_string()),
        );
    }
    for (name, target) in &live.symrefs {
        new.insert(ByteText::new(name.as_bytes()), symbolic(target.as_bytes()));
    }
    let in_flight = known.prepared.iter().map(|one| one.target.as_bytes());
    let in_flight: HashSet<&[u8]> = in_flight.collect();
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    let differing = names
        .filter(|name| old.get(*name) != new.get(*name) && !in_flight.contains(name.as_bytes()));
    differing
        .take(CHANGES_MAX)
        .map(|name| Change {
            name: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
        })
        .collect()
}

/// Whether there may be more than the report holds.
pub fn is_full(report: &ReconcileIn) -> bool {
    report.changes.len() >= CHANGES_MAX || report.gaps.len() >= CHANGES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use refwarden_model::{Oid, RefName};
    use refwarden_wire::api::ReplayRef;
    use refwarden_wire::hook::Correlation;
    use refwarden_wire::reconcile::Prepared;

    fn oid(digit: &str) -> Oid {
        digit.repeat(40).parse().unwrap()
    }

    fn name(text: &str) -> RefName {
        RefName::parse(text.as_bytes()).unwrap()
    }

    fn known(refs: &[(&str, &str)], prepared: Vec<Prepared>) -> LedgerOut {
        let refs = refs.iter().map(|(name, value)| ReplayRef {
            name: ByteText::from(*name),
            value: ByteText::from(*value),
        });
        LedgerOut {
            released: Vec::new(),
            seq: 1,
            head: ByteText::from("refs/heads/main"),
            refs: refs.collect(),
            prepared,
            gaps: Vec::new(),
        }
    }

    #[test]
    fn creations_moves_deletions_and_symbolic_refs_are_told() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let known = known(
            &[
                ("refs/heads/gone", &one),
                ("refs/heads/main", &one),
                ("refs/heads/moved", &one),
                ("refs/heads/sym", "ref: refs/heads/main"),
            ],
            Vec::new(),
        );
        let live = AllRefs {
            head: RefValue::Symbolic(name("refs/heads/other")),
            refs: vec![
                (name("refs/heads/main"), oid("1")),
                (name("refs/heads/moved"), oid("2")),
                (name("refs/heads/new"), oid("2")),
            ],
            symrefs: vec![(name("refs/heads/sym"), name("refs/heads/moved"))],
        };
        let found: Vec<String> = changes(&known, &live)
            .iter()
            .map(|one| format!("{}: {:?} {:?}", one.name, one.old.is_some(), one.new))
            .collect();
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found[0].starts_with("HEAD"), "{found:?}");
        assert!(found[1].contains("gone") && found[1].ends_with("None"));
        assert!(found[2].contains("moved") && found[2].contains(&two));
        assert!(found[3].contains("sym") && found[3].contains("refs/heads/moved"));
        assert!(found[4].contains("new") && found[4].contains("false"));
    }

    #[test]
    fn what_a_push_is_about_to_move_is_left_alone() {
        let prepared = Prepared {
            push_id: "00000000-0000-7000-8000-000000000000".parse().unwrap(),
            correlation: Correlation {
                boot_id: String::new(),
                pid_namespace: 0,
                pid: 1,
                start_ticks: 1,
            },
            target: name("refs/heads/main"),
            old: oid("1"),
            new: oid("2"),
            since: None,
        };
        let live = AllRefs {
            head: RefValue::Symbolic(name("refs/heads/main")),
            refs: vec![(name("refs/heads/main"), oid("2"))],
            symrefs: Vec::new(),
        };
        let refs = [("refs/heads/main", "1".repeat(40))];
        let refs: Vec<(&str, &str)> = refs.iter().map(|(a, b)| (*a, b.as_str())).collect();
        assert!(changes(&known(&refs, vec![prepared]), &live).is_empty());
        assert_eq!(changes(&known(&refs, Vec::new()), &live).len(), 1);
    }
}
