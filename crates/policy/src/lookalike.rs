//! Names that look like a protected one.
//!
//! Two names look alike when their skeletons are equal (Unicode Technical Standard 39, section
//! 4: canonical decomposition and the confusables table), case ignored. Case is folded before
//! the skeleton and, separately, after it: a capital I passes for a small l, and `MAIN` for
//! `main` on a disk that ignores case.

use std::sync::LazyLock;

use unicode_security::confusable_detection::skeleton;

use crate::glob::Glob;
use crate::index::PrefixIndex;

/// Names that must have no look-alikes.
#[derive(Clone, Debug)]
pub struct Lookalikes {
    /// For each protecting rule: its place in the policy, and its globs' skeletons.
    globs: Vec<(usize, Glob)>,
    index: PrefixIndex,
}

/// For each ASCII character, its prototype in the confusables table, in lower case. Of a text in
/// ASCII, which most names are, that is all there is to the skeleton: it decomposes to itself.
static ASCII: LazyLock<Vec<String>> = LazyLock::new(|| {
    let prototype = |byte: u8| -> String { skeleton(&char::from(byte).to_string()).collect() };
    let prototypes = (0..128).map(prototype);
    prototypes.map(|text| text.to_lowercase()).collect()
});

/// What a text looks like. Two texts that share one of the two look alike.
fn looks(text: &str) -> [String; 2] {
    if !text.is_ascii() {
        return looks_of_any(text);
    }
    let mut looks = [String::new(), String::new()];
    let [folded_first, folded_last] = &mut looks;
    for byte in text.bytes() {
        let prototype = |byte: u8| ASCII.get(usize::from(byte)).map_or("", String::as_str);
        folded_first.push_str(prototype(byte.to_ascii_lowercase()));
        folded_last.push_str(prototype(byte));
    }
    looks
}

fn looks_of_any(text: &str) -> [String; 2] {
    let lower = text.to_lowercase();
    let folded_first: String = skeleton(&lower).collect();
    let folded_last: String = skeleton(text).collect();
    // A skeleton may hold capitals (a zero's is O).
    [folded_first.to_lowercase(), folded_last.to_lowercase()]
}

impl Lookalikes {
    /// Takes the globs over names that rules protect, each with the rule's place.
    pub fn new<'a>(protected: impl Iterator<Item = (usize, &'a Glob)>) -> Self {
        let mut globs = Vec::new();
        for (rule, glob) in protected {
            let mut looks: Vec<String> = disguised(glob.source()).into();
            looks.sort();
            looks.dedup();
            for look in looks {
                // The skeleton of a glob may be too long to be one; then it has no look-alikes.
                if let Ok(glob) = Glob::new(&look) {
                    globs.push((rule, glob));
                }
            }
        }
        let prefixes = globs.iter().map(|(_, glob)| glob.literal_prefix());
        let index = PrefixIndex::new(prefixes);
        Self { globs, index }
    }

    /// The rules whose protected names a name looks like, or is, or ends in: a client of git
    /// that finds `refs/heads/refs/heads/main` no longer knows what `refs/heads/main` means
    /// (gitrevisions(7), "<refname>"), and pushes to neither.
    pub fn of(&self, name: &[u8]) -> Vec<usize> {
        let name = String::from_utf8_lossy(name);
        let mut rules = Vec::new();
        let inner = name.match_indices("/refs/");
        let inner = inner.filter_map(|(at, _)| name.get(at + 1..));
        for look in std::iter::once(&*name).chain(inner).flat_map(looks) {
            for candidate in self.index.candidates(look.as_bytes()) {
                let Some((rule, glob)) = self.globs.get(candidate) else {
                    continue;
                };
                if glob.is_match(look.as_bytes()) {
                    rules.push(*rule);
                }
            }
        }
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// The skeletons of a glob's text, wildcards left as they are.
fn disguised(glob: &str) -> [String; 2] {
    let mut out = [String::new(), String::new()];
    let mut rest = glob;
    while !rest.is_empty() {
        let end = rest.find(['*', '?']).unwrap_or(rest.len());
        let (text, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        for (out, look) in out.iter_mut().zip(looks(text)) {
            // A skeleton never holds a wildcard that the text did not: confusables of * and ?
            // would widen what is protected, so they are taken out.
            out.extend(look.chars().filter(|c| !matches!(c, '*' | '?')));
        }
        let wild: String = after
            .chars()
            .take_while(|c| matches!(c, '*' | '?'))
            .collect();
        for out in &mut out {
            out.push_str(&wild);
        }
        rest = after.get(wild.len()..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_seen_and_others_are_not() {
        let protected = [
            "refs/heads/main",
            "refs/heads/release/**",
            "refs/heads/\u{e9}t\u{e9}",
        ];
        let globs: Vec<Glob> = protected.map(|glob| Glob::new(glob).unwrap()).into();
        let lookalikes = Lookalikes::new(globs.iter().enumerate());
        for (name, expected) in [
            ("refs/heads/Main", Some(0)),
            ("refs/HEADS/main", Some(0)),
            ("refs/heads/m\u{430}in", Some(0)),
            ("refs/heads/rnain", Some(0)),
            ("refs/heads/ma\u{131}n", Some(0)),
            ("refs/heads/\u{ff4d}ain", Some(0)),
            ("refs/heads/reIease/1", Some(1)),
            ("refs/heads/Release/1", Some(1)),
            ("refs/heads/re1ease/1", Some(1)),
            ("refs/heads/e\u{301}te\u{301}", Some(2)),
            ("refs/heads/maine", None),
            ("refs/heads/mein", None),
            ("refs/heads/releases", None),
            ("refs/tags/main", None),
            ("refs/heads/feature/x", None),
        ] {
            let found = lookalikes.of(name.as_bytes());
            assert_eq!(found.first().copied(), expected, "{name} {:?}", looks(name));
        }
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_for_ascii_is_the_long_way(text in "[\\x00-\\x7f]{0,40}") {
            proptest::prop_assert_eq!(looks(&text), looks_of_any(&text));
        }
    }
}
