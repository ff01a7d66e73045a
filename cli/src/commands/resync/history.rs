//! Two histories of one original: which commit of the new view answers to which of the old.
//!
//! Nobody may ask for the originals, so commits are told by what masking leaves alone: the times,
//! the parents, and the lines in which neither side has a placeholder.

use std::collections::{HashMap, HashSet};

use crate::failure::Outcome;

use super::local::LocalClone;

/// What every placeholder begins with.
const PLACEHOLDER: &str = "REFWARDEN-MASKED-";

/// A commit, as far as it tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Commit {
    oid: String,
    parents: Vec<String>,
    /// Seconds since the epoch, of author and committer.
    times: (String, String),
    /// Author, committer and message.
    lines: Vec<String>,
}

/// What is known of the old history.
#[derive(Debug, Default)]
pub struct Histories {
    old: HashSet<String>,
    answers: HashMap<String, String>,
}

impl Histories {
    /// Compares what only the old tips reach with what only the new ones do.
    pub fn read(clone: &LocalClone, old: &[String], new: &[String]) -> Outcome<Self> {
        let gone = commits(clone, old, new)?;
        // Of what the refs were, some is the new view's, where that was fetched before.
        let names: HashSet<&str> = gone.iter().map(|it| &*it.oid).collect();
        let tips = old.iter().filter(|it| names.contains(it.as_str()));
        let tips: Vec<String> = tips.cloned().collect();
        let come = commits(clone, new, &tips)?;
        Ok(Self::of(&gone, &come))
    }

    /// Both with parents before children.
    fn of(old: &[Commit], new: &[Commit]) -> Self {
        let names: HashSet<String> = old.iter().map(|it| it.oid.clone()).collect();
        let mut by_place: HashMap<_, Vec<&Commit>> = HashMap::new();
        for commit in new {
            let place = (commit.parents.clone(), &commit.times);
            by_place.entry(place).or_default().push(commit);
        }
        let mut answers: HashMap<String, String> = HashMap::new();
        for commit in old {
            let parents = commit.parents.iter().map(|parent| {
                let shared = (!names.contains(parent)).then_some(parent);
                answers.get(parent).or(shared).cloned()
            });
            let Some(parents) = parents.collect::<Option<Vec<String>>>() else {
                continue;
            };
            let there = by_place.get(&(parents, &commit.times));
            let there = there.map(Vec::as_slice).unwrap_or_default();
            // What says the same goes before what may.
            let only = |fits: fn(&str, &str) -> bool| {
                let mut fitting = there.iter().filter(|it| are_alike(commit, it, fits));
                fitting.next().filter(|_| fitting.next().is_none())
            };
            if let Some(one) = only(is_same).or_else(|| only(may_be)) {
                answers.insert(commit.oid.clone(), one.oid.clone());
            }
        }
        Self {
            old: names,
            answers,
        }
    }

    /// Commits of the old history that the new one does not have.
    pub fn count(&self) -> usize {
        self.old.len()
    }

    /// Whether a commit is of the old history alone.
    pub fn is_old(&self, oid: &str) -> bool {
        self.old.contains(oid)
    }

    /// What answers to a commit; itself where it is in both histories or is nobody's but this
    /// clone's.
    pub fn answer<'o>(&'o self, oid: &'o str) -> Option<&'o str> {
        if self.is_old(oid) {
            self.answers.get(oid).map(String::as_str)
        } else {
            Some(oid)
        }
    }
}

/// Whether two commits have as many lines, and each fits the other's.
fn are_alike(one: &Commit, other: &Commit, fits: fn(&str, &str) -> bool) -> bool {
    let lines = || one.lines.iter().zip(&other.lines);
    one.lines.len() == other.lines.len() && lines().all(|(one, other)| fits(one, other))
}

/// Whether lines differ in the digits of names at most.
fn is_same(one: &str, other: &str) -> bool {
    without_names(one) == without_names(other)
}

/// Whether lines may be views of one: what stands around placeholders is the same.
fn may_be(one: &str, other: &str) -> bool {
    if !one.contains(PLACEHOLDER) && !other.contains(PLACEHOLDER) {
        return is_same(one, other);
    }
    let ((before, after), (begin, end)) = (around(one), around(other));
    (before.starts_with(&begin) || begin.starts_with(&before))
        && (after.ends_with(&end) || end.ends_with(&after))
}

/// What stands before the first placeholder, and what stands behind the last; all of a line that
/// has none.
fn around(line: &str) -> (String, String) {
    let before = line.split(PLACEHOLDER).next().unwrap_or_default();
    let after = match line.rsplit_once(PLACEHOLDER) {
        Some((_, rest)) => {
            rest.trim_start_matches(|it: char| it.is_ascii_alphanumeric() || it == '-')
        }
        None => line,
    };
    (without_names(before), without_names(after))
}

/// A line with each run of 7 hexadecimal digits or more taken out.
fn without_names(line: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for letter in line.chars().chain(['\n']) {
        if letter.is_ascii_hexdigit() {
            run.push(letter);
            continue;
        }
        if run.len() < 7 {
            out.push_str(&run);
        }
        run.clear();
        out.push(letter);
    }
    out.pop();
    out
}

fn commits(clone: &LocalClone, from: &[String], without: &[String]) -> Outcome<Vec<Commit>> {
    let format = "--format=%H%n%P%n%at%n%ct%n%an <%ae>%n%cn <%ce>%n%B";
    let arguments = [
        "-z",
        "--topo-order",
        "--reverse",
        "--no-show-signature",
        format,
    ];
    let mut input = String::new();
    for oid in from {
        input.push_str(oid);
        input.push('\n');
    }
    for oid in without {
        input.push('^');
        input.push_str(oid);
        input.push('\n');
    }
    let arguments = [&arguments[..], &["--ignore-missing", "--stdin", "--"]].concat();
    let listed = clone.git("log", &arguments, input.as_bytes())?;
    let listed = String::from_utf8_lossy(&listed);
    Ok(listed.split('\0').filter_map(parse).collect())
}

fn parse(record: &str) -> Option<Commit> {
    let mut lines = record.split('\n');
    Some(Commit {
        oid: lines.next().filter(|it| !it.is_empty())?.to_owned(),
        parents: lines
            .next()?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        times: (lines.next()?.to_owned(), lines.next()?.to_owned()),
        lines: lines.map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(oid: &str, parents: &str, time: &str, message: &str) -> Commit {
        parse(&format!(
            "{oid}\n{parents}\n{time}\n{time}\nA <a>\nA <a>\n{message}"
        ))
        .unwrap()
    }

    #[test]
    fn commits_are_told_by_parents_times_and_what_is_not_masked() {
        let masked = format!("key {PLACEHOLDER}x-0");
        let old = [
            commit("a1", "base", "1", "key abc"),
            commit("b1", "a1", "1", "One"),
            commit("c1", "a1", "1", "Two"),
            commit("d1", "b1 c1", "2", "Merge 0123456789"),
            commit("e1", "d1", "2", "Gone"),
            commit("f1", "e1", "3", "After"),
            commit("g1", "a1", "1", "key abc here"),
        ];
        let new = [
            commit("a2", "base", "1", &masked),
            commit("c2", "a2", "1", "Two"),
            commit("b2", "a2", "1", "One"),
            commit("d2", "b2 c2", "2", "Merge 9876543210"),
            commit("e2", "d2", "2", "Instead"),
            commit("g2", "a2", "1", &format!("{masked} here")),
        ];
        let histories = Histories::of(&old, &new);
        for (from, to) in [
            ("a1", Some("a2")),
            ("b1", Some("b2")),
            ("c1", Some("c2")),
            ("d1", Some("d2")),
            ("e1", None),
            ("f1", None),
            ("g1", Some("g2")),
            ("base", Some("base")),
        ] {
            assert_eq!(histories.answer(from), to, "{from}");
        }
    }

    #[test]
    fn two_that_could_be_meant_are_none() {
        let old = [commit("a1", "base", "1", "Same")];
        let new = ["a2", "a3"].map(|oid| commit(oid, "base", "1", "Same"));
        assert_eq!(Histories::of(&old, &new).answer("a1"), None);
    }
}
