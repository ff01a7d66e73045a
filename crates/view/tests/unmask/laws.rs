//! Over generated histories: what is masked and pushed comes back as it was, and what came back
//! is masked to what was pushed.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use proptest::prelude::*;
use refwarden_view::unmask::Command;

use super::desk::{Desk, Sent, pem, secret};

const ME: &str = "A <a@example.org> 1700000000 +0000";

/// Places with rules of their own, and a name that is a secret.
const PLACES: [&str; 5] = ["a", "d/a", "d/e/.env", "d/.npmrc", "NAMED/f"];

/// What a step does: parents, a place, an action, a seed.
type Step = (u8, u8, u8, u8, u8);

/// Files of a commit: mode, and pieces of one line or more.
type Files = BTreeMap<String, (&'static str, Vec<String>)>;

fn piece(kind: u8, seed: u8) -> String {
    let number = u64::from(seed % 4) + 1;
    match kind % 4 {
        0 => format!("clean {seed}"),
        1 => format!("token = \"{}\"", secret(number)),
        2 => format!("{} {}", secret(number), secret(number + 1)),
        _ => format!("key = \"{}\"", pem(3)),
    }
}

/// Changes files as somebody does who brings no secret to where none was.
fn change(files: &mut Files, place: u8, action: u8, seed: u8) {
    let paths: Vec<String> = files.keys().cloned().collect();
    let Some(path) = paths.get(usize::from(place) % paths.len().max(1)) else {
        files.insert("new".to_owned(), ("100644", vec![format!("new {seed}")]));
        return;
    };
    let Some((mode, pieces)) = files.get_mut(path) else {
        return;
    };
    let at = usize::from(seed) % (pieces.len() + 1);
    let is_clean = |piece: &String| {
        !piece.contains("token") && !piece.contains("ghp_") && !piece.contains("key")
    };
    match action % 7 {
        // A secret is not moved along; a file that holds none goes where it likes.
        6 if pieces.iter().all(is_clean) => {
            if let Some(moved) = files.remove(path) {
                files.insert(format!("moved/{seed}"), moved);
            }
        }
        0 => pieces.insert(at, format!("more {seed}")),
        1 if at < pieces.len() => drop(pieces.remove(at)),
        2 => drop(files.remove(path)),
        3 => {
            *mode = if *mode == "100644" {
                "100755"
            } else {
                "100644"
            }
        }
        4 if at < pieces.len() => {
            let moved = pieces.remove(at);
            pieces.push(moved);
        }
        _ => pieces.push(String::new()),
    }
}

/// A stream for git-fast-import(1), with a branch `b<number>` at each commit.
fn stream(before: &[Step], after: &[Step]) -> String {
    let mut commits: Vec<Files> = Vec::new();
    let mut out = String::new();
    for (index, &(parent, other, place, action, seed)) in before.iter().chain(after).enumerate() {
        let number = index + 1;
        let chosen = |by: u8| index.checked_sub(1 + usize::from(by) % 3);
        let (from, merged) = (chosen(parent), chosen(other));
        let mut files = from.map(|it| commits[it].clone()).unwrap_or_default();
        let mut parents = String::new();
        if let Some(from) = from {
            writeln!(parents, "from :{}", from + 1).unwrap();
        }
        if let Some(merged) = merged.filter(|it| Some(*it) != from && action % 3 == 0) {
            writeln!(parents, "merge :{}", merged + 1).unwrap();
            let theirs = commits[merged].clone();
            files.extend(
                theirs
                    .into_iter()
                    .filter(|(path, _)| path.len() % 2 == usize::from(seed % 2)),
            );
        }
        if index < before.len() {
            let path = PLACES[usize::from(place) % PLACES.len()];
            let path = path.replace("NAMED", &secret(9));
            // Somebody who sees all moves what he likes.
            let from = files
                .keys()
                .nth(usize::from(seed) % files.len().max(1))
                .cloned();
            if action % 5 == 4
                && let Some(moved) = from.and_then(|from| files.remove(&from))
            {
                files.insert(path.clone(), moved);
            }
            let file = files.entry(path).or_insert(("100644", Vec::new()));
            file.1.push(piece(action, seed));
        } else {
            change(&mut files, place, action, seed);
        }
        let message = format!("commit {number}\n");
        let length = message.len();
        write!(out, "commit refs/heads/b{number}\nmark :{number}\nauthor {ME}\ncommitter {ME}\ndata {length}\n{message}{parents}deleteall\n").unwrap();
        for (path, (mode, pieces)) in &files {
            let text = pieces.join("\n");
            write!(out, "M {mode} inline {path}\ndata {}\n{text}\n", text.len()).unwrap();
        }
        out.push('\n');
        commits.push(files);
    }
    out
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<Step>(), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn what_is_masked_comes_back(before in steps(7), after in steps(9)) {
        let desk = Desk::empty("sha1");
        let known: Vec<String> = (1..=before.len()).map(|it| format!("refs/heads/b{it}")).collect();
        desk.import("original.git", &stream(&before, &after));
        // The whole history, masked; then a repository that has the first part of it.
        desk.build("whole.git");
        let there = desk.at("original.git");
        let refs = there.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let zero = "0".repeat(40);
        let (mut commands, mut expected) = (Vec::new(), Vec::new());
        for line in refs.lines() {
            let (name, oid) = line.split_once(' ').unwrap();
            if !known.iter().any(|it| it == name) {
                let new = desk.at("whole.git").git(&["rev-parse", name]);
                commands.push(Command {
                    name: refwarden_model::RefName::parse(name.as_bytes()).unwrap(),
                    old: zero.parse().unwrap(),
                    new: new.parse().unwrap(),
                });
                expected.push(oid.to_owned());
                there.git(&["update-ref", "-d", name]);
            }
        }
        there.git(&["gc", "-q", "--prune=now"]);
        desk.build("shadow.git");
        std::fs::write(desk.path("raw.pack"), desk.at("whole.git").raw(&["pack-objects", "--all", "--stdout", "-q"])).unwrap();
        let sent = Sent { commands, pack: Some(desk.path("raw.pack")) };
        let translated = desk.translate(&sent);
        let translated = translated.unwrap_or_else(|refusal| panic!("{refusal}"));
        let new: Vec<String> = translated.commands.iter().map(|it| it.new.to_string()).collect();
        prop_assert_eq!(&new, &expected);
        // Names are the same on both sides, or on none.
        let names: HashSet<_> = translated.pairs.iter().map(|(from, _)| from).collect();
        prop_assert_eq!(names.len(), translated.pairs.len());
        desk.apply(&translated);
        desk.settles(&sent);
    }
}
