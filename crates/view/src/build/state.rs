//! What a build leaves for the next, so that only new objects are read and masked.
//!
//! Kept beside a shadow and never in it: it holds names of the original. Whatever cannot be read
//! back costs a cold build and nothing else.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use refwarden_gitio::objects::Kind;
use refwarden_model::Oid;

use super::reader::Link;
use crate::mask::Dependence;

/// A tree or blob in which something may have to be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(super) oid: Oid,
    pub(super) kind: Kind,
    pub(super) dependence: Dependence,
    /// Whether it has another name at one path at least.
    pub(super) changed: bool,
}

/// What is known of notes; every list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// What refs of notes named.
    pub(super) tips: Vec<Oid>,
    /// Commits whose trees are notes.
    pub(super) commits: Vec<Oid>,
    /// Trees and blobs that stand in trees of notes alone.
    pub(super) objects: Vec<Oid>,
    /// What notes are on that the view does not have.
    pub(super) left: Vec<Oid>,
    /// Trees and blobs that notes in the view are on.
    pub(super) kept: Vec<Oid>,
}

impl Noted {
    /// The words of a state's file, and their lists.
    fn lists(&mut self) -> [(&'static str, &mut Vec<Oid>); 5] {
        [
            ("note-tip", &mut self.tips),
            ("note", &mut self.commits),
            ("noted", &mut self.objects),
            ("left", &mut self.left),
            ("kept", &mut self.kept),
        ]
    }

    /// Puts all in order.
    pub(super) fn sort(&mut self) {
        for (_, list) in self.lists() {
            list.sort_unstable();
            list.dedup();
        }
    }
}

/// What is known of all that the refs reached when they were last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// What the refs named; empty where nothing is known.
    pub(super) tips: Vec<Oid>,
    /// Every commit and tag, sorted, with its name in the view.
    pub(super) map: Vec<(Oid, Oid)>,
    /// Sorted by name. What is not among these is a commit, a tag, or as in the original under
    /// every path.
    pub(super) touched: Vec<Touched>,
    /// What commits and tags mention: runs of hexadecimal digits, in lower case, sorted.
    pub(super) mentions: Vec<String>,
    pub(super) noted: Noted,
    /// Commits of other repositories.
    pub(super) links: BTreeSet<Link>,
    /// Names of files for which path conditions hold in some folders only, one of each kind.
    pub(super) examples: Vec<Vec<u8>>,
}

impl State {
    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.tips.is_empty()
    }

    /// The view's name for a commit or tag.
    pub(super) fn renamed(&self, oid: Oid) -> Option<Oid> {
        let at = self
            .map
            .binary_search_by_key(&oid, |(from, _)| *from)
            .ok()?;
        self.map.get(at).map(|(_, to)| *to)
    }

    /// Whether a commit's tree is notes.
    pub(super) fn has_notes(&self, commit: Oid) -> bool {
        self.noted.commits.binary_search(&commit).is_ok()
    }

    /// Whether a tree or blob stood in trees of notes alone.
    pub(super) fn is_noted(&self, oid: Oid) -> bool {
        self.noted.objects.binary_search(&oid).is_ok()
    }

    /// Trees and blobs that stand in trees of notes alone whose name is not below `lowest`.
    pub(super) fn noted_from(&self, lowest: Oid) -> &[Oid] {
        let at = self.noted.objects.partition_point(|oid| *oid < lowest);
        self.noted.objects.get(at..).unwrap_or_default()
    }

    /// The view's names for commits whose trees are notes.
    pub(crate) fn notes(&self) -> Vec<Oid> {
        let commits = self.noted.commits.iter();
        commits.filter_map(|it| self.renamed(*it)).collect()
    }

    /// A tree or blob in which something may have to be masked.
    pub(super) fn touched(&self, oid: Oid) -> Option<Touched> {
        let at = self.touched.binary_search_by_key(&oid, |it| it.oid).ok()?;
        self.touched.get(at).copied()
    }

    /// Those whose name is not below `lowest`, in order.
    pub(super) fn touched_from(&self, lowest: Oid) -> &[Touched] {
        let at = self.touched.partition_point(|it| it.oid < lowest);
        self.touched.get(at..).unwrap_or_default()
    }

    /// Every commit and tag, sorted, with its name in the view.
    pub(crate) fn into_map(self) -> Vec<(Oid, Oid)> {
        self.map
    }

    /// Trees and blobs that have another name at one path at least, and those whose name may tell
    /// of others since they stand in notes.
    pub(crate) fn changed(&self) -> impl Iterator<Item = Oid> {
        let changed = self.touched.iter().filter(|it| it.changed);
        let noted = self.noted.objects.iter().copied();
        changed.map(|it| it.oid).chain(noted)
    }

    /// Commits and tags whose name is not below `lowest`, in order.
    pub(super) fn from(&self, lowest: Oid) -> &[(Oid, Oid)] {
        let at = self.map.partition_point(|(from, _)| *from < lowest);
        self.map.get(at..).unwrap_or_default()
    }

    /// Whether something that was masked before mentions one of these names, which may then have
    /// to be masked there differently.
    pub(super) fn mentions_any(&self, oids: impl Iterator<Item = Oid>) -> bool {
        let known: HashSet<&str> = self.mentions.iter().map(String::as_str).collect();
        let mut lengths: Vec<usize> = known.iter().map(|it| it.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        oids.into_iter().any(|oid| {
            let name = oid.to_string();
            let mut beginnings = lengths.iter().filter_map(|&length| name.get(..length));
            beginnings.any(|it| known.contains(it))
        })
    }

    /// As a file, but for the map, which has one of its own.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for oid in &self.tips {
            let _ = writeln!(text, "tip {oid}");
        }
        for it in &self.touched {
            let dependence = match it.dependence {
                Dependence::Clean => "clean",
                Dependence::Anywhere => "anywhere",
                Dependence::ByPath => "by-path",
                Dependence::OnlyByPath => "only-by-path",
            };
            let changed = if it.changed { "changed" } else { "same" };
            let (kind, oid) = (it.kind.name(), it.oid);
            let _ = writeln!(text, "{kind} {oid} {dependence} {changed}");
        }
        for digits in &self.mentions {
            let _ = writeln!(text, "mention {digits}");
        }
        for name in &self.examples {
            let _ = writeln!(text, "name {}", hex(name));
        }
        for (name, oid) in &self.links {
            let _ = writeln!(text, "link {oid} {}", hex(name));
        }
        for (word, list) in self.noted.clone().lists() {
            for oid in list {
                let _ = writeln!(text, "{word} {oid}");
            }
        }
        // Without its last line it is no state.
        text.push_str("end\n");
        text
    }

    /// Reads it back. None for anything else than [`State::to_text`] writes.
    pub(crate) fn parse(text: &str, map: Vec<(Oid, Oid)>) -> Option<Self> {
        let mut state = Self {
            map,
            ..Self::default()
        };
        let body = text.strip_suffix("end\n")?;
        for line in body.lines() {
            let mut words = line.split(' ');
            let (kind, value) = (words.next()?, words.next()?);
            let rest = (words.next(), words.next(), words.next());
            match (kind, rest) {
                ("tip", (None, None, None)) => state.tips.push(value.parse().ok()?),
                ("name", (None, None, None)) => state.examples.push(unhex(value)?),
                ("mention", (None, None, None)) => state.mentions.push(value.to_owned()),
                ("blob" | "tree", (Some(dependence), Some(changed), None)) => {
                    state.touched.push(Touched {
                        oid: value.parse().ok()?,
                        kind: if kind == "blob" {
                            Kind::Blob
                        } else {
                            Kind::Tree
                        },
                        dependence: match dependence {
                            "anywhere" => Dependence::Anywhere,
                            "by-path" => Dependence::ByPath,
                            "only-by-path" => Dependence::OnlyByPath,
                            _ => return None,
                        },
                        changed: match changed {
                            "changed" => true,
                            "same" => false,
                            _ => return None,
                        },
                    });
                }
                ("link", (Some(name), None, None)) => {
                    state.links.insert((unhex(name)?, value.parse().ok()?));
                }
                (word, (None, None, None)) => {
                    let mut lists = state.noted.lists().into_iter();
                    let (_, list) = lists.find(|(known, _)| *known == word)?;
                    list.push(value.parse().ok()?);
                }
                _ => return None,
            }
        }
        let noted = state.noted.lists();
        let is_noted_sorted = noted.into_iter().all(|(_, list)| list.is_sorted());
        let sorted = is_noted_sorted
            && state.tips.is_sorted()
            && state.map.is_sorted()
            && state.touched.is_sorted_by_key(|it| it.oid);
        sorted.then_some(state)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(digit: char) -> Oid {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn state() -> State {
        State {
            tips: vec![oid('3')],
            map: vec![(oid('1'), oid('2'))],
            touched: vec![Touched {
                oid: oid('4'),
                kind: Kind::Blob,
                dependence: Dependence::OnlyByPath,
                changed: true,
            }],
            mentions: vec!["1111111".to_owned()],
            links: BTreeSet::from([(b"lib".to_vec(), oid('8'))]),
            noted: Noted {
                tips: vec![oid('1')],
                commits: vec![oid('1')],
                objects: vec![oid('4')],
                left: vec![oid('5'), oid('6')],
                kept: vec![oid('7')],
            },
            examples: vec![b"a\n".to_vec()],
        }
    }

    #[test]
    fn what_was_cut_or_changed_is_not_read_back() {
        let (text, map) = (state().to_text(), state().map);
        assert_eq!(State::parse(&text, map.clone()), Some(state()));
        for cut in 0..text.len() {
            assert_eq!(State::parse(&text[..cut], map.clone()), None, "{cut}");
        }
        for bad in [
            "tip",
            "tip x",
            "blob 1 anywhere same",
            "mention a b",
            "name 0g",
            "left x",
            "link 1 x",
            "link 8",
            "kept 1 2",
            "x y",
        ] {
            assert_eq!(
                State::parse(&format!("{bad}\nend\n"), Vec::new()),
                None,
                "{bad}"
            );
        }
        let turned = vec![(oid('2'), oid('2')), (oid('1'), oid('2'))];
        assert_eq!(State::parse(&text, turned), None);
    }

    #[test]
    fn a_mention_is_the_beginning_of_a_name() {
        assert!(state().mentions_any([oid('2'), oid('1')].into_iter()));
        assert!(!state().mentions_any([oid('2')].into_iter()));
    }
}
