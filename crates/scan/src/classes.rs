//! Under which paths bytes have to be scanned that stand at many.

use crate::ruleset::Ruleset;

/// The paths of an input in classes: under two of one class the same is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathClasses<'p> {
    /// A path of each class.
    pub paths: Vec<Option<&'p [u8]>>,
    /// By path, in the order in which they were given: its class, an index of `paths`.
    pub of: Vec<usize>,
}

impl<'p> PathClasses<'p> {
    /// Sorts paths into classes.
    pub fn of(rules: &Ruleset, all: &[Option<&'p [u8]>]) -> Self {
        if let [only] = all {
            // Most files of a push stand at one path, and the first to ask has all conditions compiled.
            return Self {
                paths: vec![*only],
                of: vec![0],
            };
        }
        let mut classes = Self::default();
        let mut plain = None;
        for &path in all {
            let is_own = path.is_some_and(|path| rules.may_depend_on(path));
            let known = plain.filter(|_| !is_own);
            let class = known.unwrap_or_else(|| {
                classes.paths.push(path);
                classes.paths.len() - 1
            });
            if !is_own {
                plain = Some(class);
            }
            classes.of.push(class);
        }
        classes
    }
}
