//! What a file and its folder may be called for a path condition to hold.
//!
//! The conditions are read backwards, from the end of a path. Where nothing is left of any of
//! them once the name was read, none holds in whatever folder.

use std::collections::HashMap;
use std::sync::Mutex;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::Look;

use crate::matcher::SIZE_LIMIT;

/// The conditions of a ruleset, backwards.
pub(crate) struct Backwards {
    dfa: DFA,
}

impl std::fmt::Debug for Backwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backwards").finish_non_exhaustive()
    }
}

impl Backwards {
    /// `None` if they are too large together, or one does not compile.
    pub(crate) fn new<'p>(conditions: impl Iterator<Item = &'p str>) -> Option<Self> {
        let patterns: Vec<String> = conditions.map(whole).collect::<Option<_>>()?;
        let nfa = thompson::Compiler::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .reverse(true)
                    .nfa_size_limit(Some(16 * SIZE_LIMIT))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build_many(&patterns)
            .ok()?;
        let dfa = DFA::builder()
            .configure(
                DFA::config()
                    .match_kind(MatchKind::All)
                    .cache_capacity(8 * SIZE_LIMIT)
                    .skip_cache_capacity_check(true),
            )
            .build_from_nfa(nfa)
            .ok()?;
        Some(Self { dfa })
    }

    /// The state after `bytes`, from the end of a path or from a state; none where nothing may
    /// hold any more.
    fn read(
        &self,
        cache: &mut Cache,
        from: Option<LazyStateID>,
        bytes: &[u8],
    ) -> Result<Option<LazyStateID>, Unknown> {
        let mut state = if let Some(state) = from {
            state
        } else {
            let input = Input::new(b"").anchored(Anchored::Yes);
            let start = self.dfa.start_state_reverse(cache, &input);
            start.map_err(|_| Unknown)?
        };
        for byte in bytes.iter().rev() {
            let next = self.dfa.next_state(cache, state, *byte);
            state = next.map_err(|_| Unknown)?;
            if state.is_dead() {
                return Ok(None);
            }
            if state.is_quit() {
                return Err(Unknown);
            }
        }
        Ok(Some(state))
    }

    /// Whether a condition holds for a path that begins here.
    fn holds(&self, cache: &mut Cache, state: LazyStateID) -> Result<bool, Unknown> {
        let end = self.dfa.next_eoi_state(cache, state);
        Ok(end.map_err(|_| Unknown)?.is_match())
    }
}

/// A pattern for all of a path. What ends at the end is not let go on: the automaton would wait
/// for that end for ever.
fn whole(condition: &str) -> Option<String> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build();
    let parsed = parser.parse(condition).ok()?;
    let ends = parsed.properties().look_set_suffix().contains(Look::End);
    let rest = if ends { "" } else { "(?s-u:.)*" };
    Some(format!("(?s-u:.)*(?:{condition}){rest}"))
}

/// It cannot be found out.
struct Unknown;

/// What is known of a name: names of a class are meant by the same conditions, whatever folders
/// they stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(u8);

impl Class {
    /// No condition holds in any folder.
    pub const NEVER: Self = Self(0);
    /// It is not known in which.
    const ANY: Self = Self(u8::MAX);
}

/// A folder that no condition names.
const NEUTRAL: &[u8] = b"\x01";

/// Names of files by what path conditions may hold for them. For one run over many names.
pub struct Conditions<'r> {
    set: Option<&'r Backwards>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    cache: Option<Cache>,
    /// By class but the first: where a path can go on, and whether it may begin there.
    classes: Vec<(Vec<LazyStateID>, bool)>,
    folders: HashMap<(Class, Vec<u8>), bool>,
}

impl std::fmt::Debug for Conditions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conditions").finish_non_exhaustive()
    }
}

impl<'r> Conditions<'r> {
    /// `None` where the conditions cannot be read backwards: all hold everywhere.
    pub(crate) fn new(set: Option<&'r Backwards>) -> Self {
        let inner = Inner {
            cache: set.map(|set| set.dfa.create_cache()),
            ..Inner::default()
        };
        Self {
            set,
            inner: Mutex::new(inner),
        }
    }

    /// The class of a file that has any of these names.
    pub fn class<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Class {
        let (Some(set), Ok(mut inner)) = (self.set, self.inner.lock()) else {
            return Class::ANY;
        };
        inner.class(set, names).unwrap_or(Class::ANY)
    }

    /// Whether a condition may hold for a file of a class in some folder of this name, or at the
    /// root.
    pub fn in_folder(&self, class: Class, folder: Option<&[u8]>) -> bool {
        let (Some(set), Ok(mut inner)) = (self.set, self.inner.lock()) else {
            return true;
        };
        match class {
            Class::NEVER => false,
            Class::ANY => true,
            _ => inner.in_folder(set, class, folder).unwrap_or(true),
        }
    }

    /// Whether a condition may hold for a file of a class in any folder, whatever its name.
    pub fn anywhere(&self, class: Class) -> bool {
        self.in_folder(class, Some(NEUTRAL))
    }
}

impl Inner {
    fn class<'n>(
        &mut self,
        set: &Backwards,
        names: impl Iterator<Item = &'n [u8]>,
    ) -> Result<Class, Unknown> {
        let cache = self.cache.as_mut().ok_or(Unknown)?;
        let (mut states, mut alone) = (Vec::new(), false);
        for name in names {
            let Some(state) = set.read(cache, None, name)? else {
                continue;
            };
            alone |= set.holds(cache, state)?;
            states.extend(set.read(cache, Some(state), b"/")?);
        }
        states.sort_unstable();
        states.dedup();
        // Otherwise the states of before would be others now.
        if cache.clear_count() > 0 {
            return Err(Unknown);
        }
        if states.is_empty() && !alone {
            return Ok(Class::NEVER);
        }
        let new = (states, alone);
        let at = self.classes.iter().position(|it| *it == new);
        let at = at.unwrap_or_else(|| {
            self.classes.push(new);
            self.classes.len() - 1
        });
        let number = u8::try_from(at + 1).ok();
        number
            .map(Class)
            .filter(|it| *it != Class::ANY)
            .ok_or(Unknown)
    }

    fn in_folder(
        &mut self,
        set: &Backwards,
        class: Class,
        folder: Option<&[u8]>,
    ) -> Result<bool, Unknown> {
        let at = usize::from(class.0).checked_sub(1).ok_or(Unknown)?;
        let (states, alone) = self.classes.get(at).cloned().ok_or(Unknown)?;
        let Some(folder) = folder else {
            return Ok(alone);
        };
        let key = (class, folder.to_vec());
        if let Some(known) = self.folders.get(&key) {
            return Ok(*known);
        }
        let cache = self.cache.as_mut().ok_or(Unknown)?;
        let mut may = false;
        for state in states {
            let Some(state) = set.read(cache, Some(state), folder)? else {
                continue;
            };
            // At the root, and in another folder.
            may |= set.holds(cache, state)? || set.read(cache, Some(state), b"/")?.is_some();
        }
        if cache.clear_count() > 0 {
            return Err(Unknown);
        }
        self.folders.insert(key, may);
        Ok(may)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::Ruleset;

    fn all(conditions: &[&str]) -> Backwards {
        Backwards::new(conditions.iter().copied()).unwrap()
    }

    #[test]
    fn names_and_folders_tell_what_may_hold() {
        let set = all(&[
            r"(?:^|/)\.env$",
            r"(?i)^conf/[^/]+\.INI$",
            r"a/b\.c$|(?:^|/)d[^/]*$",
            r"(?:^|/)x\.d/[^/]+$",
        ]);
        let conditions = Conditions::new(Some(&set));
        for (name, root, conf, in_a, in_xd, anywhere) in [
            (".env", true, true, true, true, true),
            ("x.env", false, false, false, true, false),
            ("a.ini", false, true, false, true, false),
            ("b.c", false, false, true, true, false),
            ("dab", true, true, true, true, true),
            ("main.rs", false, false, false, true, false),
        ] {
            let class = conditions.class([name.as_bytes()].into_iter());
            let found = [
                conditions.in_folder(class, None),
                conditions.in_folder(class, Some(b"conf")),
                conditions.in_folder(class, Some(b"a")),
                conditions.in_folder(class, Some(b"x.d")),
                conditions.anywhere(class),
            ];
            assert_eq!(found, [root, conf, in_a, in_xd, anywhere], "{name}");
        }
        let class = |name: &[u8]| conditions.class([name].into_iter());
        assert_eq!(class(b"main.rs"), class(b"lib.rs"));
        let without = all(&[r"(?:^|/)\.env$"]);
        let without = Conditions::new(Some(&without));
        assert_eq!(without.class([&b"x"[..]].into_iter()), Class::NEVER);
        assert!(Conditions::new(None).in_folder(Class::ANY, None));
    }

    /// Of every default rule, the path of its example.
    #[test]
    fn no_path_is_missed() {
        let ruleset = Ruleset::builtin_and_generic(&[]).unwrap();
        let conditions = ruleset.conditions();
        let mut seen = 0;
        for rule in ruleset.rules().filter(|rule| rule.path().is_some()) {
            let path = rule.example_path().unwrap();
            let mut parts = path.rsplit('/').map(str::as_bytes);
            let class = conditions.class(parts.next().into_iter());
            assert!(conditions.in_folder(class, parts.next()), "{path}");
            seen += 1;
        }
        assert!(seen > 50, "{seen}");
        for name in ["main.rs", "README.md", "Makefile", "lib.c", "index.html"] {
            let class = conditions.class([name.as_bytes()].into_iter());
            assert!(!conditions.anywhere(class), "{name}");
            assert!(!conditions.in_folder(class, Some(b"src")), "{name}");
            assert!(!conditions.in_folder(class, None), "{name}");
        }
    }
}
