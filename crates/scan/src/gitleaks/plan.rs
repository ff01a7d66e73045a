//! Where a pattern can match at all: the literals that each match holds, and what its first
//! bytes look like.
//!
//! gitleaks runs a rule over the whole text as soon as one of its keywords stands anywhere in
//! it. To report the same matches in less time, a rule here is tried only where one of its
//! *anchors* stands: literals of which every match holds at least one, at a known distance from
//! its start. They come from the pattern, not from the keywords, so no match is lost.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::bytes::ByteSet;
use crate::literals::share;

/// More literals than this are no set of anchors.
const EXACT_MAX: usize = 24;
/// Longest piece of a literal that is looked for, in bytes.
const LITERAL_MAX: usize = 32;
/// Anchors more frequent than one in so many bytes are not worth it.
const SHARE_MAX: f64 = 1.0 / 200.0;
/// A match may start at most this many bytes before its anchor.
const DISTANCE_MAX: usize = 4096;
/// First bytes of a match that are checked before the pattern runs.
const HEAD_MAX: usize = 24;
/// Longest leading run that is rebuilt after a match.
pub(super) const LEADING_MAX: usize = 1024;

/// A literal, in lower case, and how far before it a match may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) literal: Vec<u8>,
    pub(super) before_min: usize,
    pub(super) before_max: usize,
}

/// A leading `[class]{0,max}?`, left out of the pattern: it only says where a match starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leading {
    pub(super) class: ByteSet,
    pub(super) max: usize,
}

/// How to look for a pattern.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) leading: Option<Leading>,
    /// The pattern without its leading run.
    pub(super) hir: Hir,
    /// Empty: it may match anywhere.
    pub(super) anchors: Vec<Anchor>,
    /// What the first bytes of a match of `hir` must be.
    pub(super) head: Vec<ByteSet>,
    /// Longest match of `hir` in bytes, if it has one.
    pub(super) longest: Option<usize>,
}

impl Plan {
    pub(super) fn new(hir: &Hir) -> Self {
        let (leading, hir) = split_leading(hir);
        let best = facts(&hir).best.filter(|best| best.share <= SHARE_MAX);
        let mut head = Vec::new();
        push_head(&hir, &mut head);
        Self {
            leading,
            anchors: best.map(|best| best.anchors).unwrap_or_default(),
            head,
            longest: hir.properties().maximum_len(),
            hir,
        }
    }

    /// Whether a match can start at `bytes`.
    pub(super) fn head_fits(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.head.len()
            && self
                .head
                .iter()
                .zip(bytes)
                .all(|(set, byte)| set.contains(*byte))
    }
}

fn split_leading(hir: &Hir) -> (Option<Leading>, Hir) {
    if let HirKind::Concat(parts) = hir.kind()
        && let Some((first, rest)) = parts.split_first()
        && let HirKind::Repetition(repetition) = first.kind()
        && repetition.min == 0
        && !repetition.greedy
        && let Some(max) = repetition.max.map(|max| max as usize)
        && max <= LEADING_MAX
        && let HirKind::Class(class) = repetition.sub.kind()
        && let (set, true) = ByteSet::of_class(class)
    {
        let leading = Leading { class: set, max };
        return (Some(leading), Hir::concat(rest.to_vec()));
    }
    (None, hir.clone())
}

/// A set of anchors and how often one of them is expected.
#[derive(Debug, Clone)]
struct Best {
    anchors: Vec<Anchor>,
    share: f64,
}

impl Best {
    /// Literals that stand between `min` and `max` bytes after a match's start.
    fn of(literals: &[Vec<u8>], min: usize, max: Option<usize>) -> Option<Self> {
        let max = max.filter(|max| *max <= DISTANCE_MAX)?;
        if literals.is_empty() || literals.iter().any(|literal| literal.len() < 2) {
            return None;
        }
        // A distance that varies costs one try for each start.
        let width = 1.0 + f64::from(u32::try_from(max - min).unwrap_or(u32::MAX)) / 8.0;
        let anchors: Vec<Anchor> = literals
            .iter()
            .map(|literal| Anchor {
                literal: literal.iter().copied().take(LITERAL_MAX).collect(),
                before_min: min,
                before_max: max,
            })
            .collect();
        let share = anchors
            .iter()
            .map(|anchor| share(&anchor.literal))
            .sum::<f64>()
            * width;
        Some(Self { anchors, share })
    }

    fn better(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.share < a.share { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    fn shifted(mut self, min: usize, max: Option<usize>) -> Option<Self> {
        let max = max?;
        for anchor in &mut self.anchors {
            anchor.before_min += min;
            anchor.before_max += max;
            if anchor.before_max > DISTANCE_MAX {
                return None;
            }
        }
        let width = 1.0 + f64::from(u32::try_from(max - min).unwrap_or(u32::MAX)) / 8.0;
        self.share *= width;
        Some(self)
    }
}

/// What is known of a part of a pattern.
#[derive(Debug, Clone, Default)]
struct Facts {
    /// All it can match, in lower case, if that is little.
    exact: Option<Vec<Vec<u8>>>,
    best: Option<Best>,
}

impl Facts {
    fn exact(literals: Vec<Vec<u8>>) -> Self {
        Self {
            best: Best::of(&literals, 0, Some(0)),
            exact: Some(literals),
        }
    }
}

fn facts(hir: &Hir) -> Facts {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Facts::exact(vec![Vec::new()]),
        HirKind::Literal(literal) => Facts::exact(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => class_facts(class),
        HirKind::Capture(capture) => facts(&capture.sub),
        HirKind::Repetition(repetition) => {
            let sub = facts(&repetition.sub);
            match (repetition.min, repetition.max, sub.exact) {
                (0, Some(1), Some(mut exact)) => {
                    exact.push(Vec::new());
                    Facts {
                        exact: Some(exact),
                        best: None,
                    }
                }
                (min, Some(max), Some(exact)) if min == max && (1..=8).contains(&min) => {
                    let mut product = vec![Vec::new()];
                    for _ in 0..min {
                        match cross(&product, &exact) {
                            Some(next) => product = next,
                            None => {
                                return Facts {
                                    exact: None,
                                    best: sub.best,
                                };
                            }
                        }
                    }
                    Facts::exact(product)
                }
                (0, _, _) => Facts::default(),
                _ => Facts {
                    exact: None,
                    best: sub.best,
                },
            }
        }
        HirKind::Alternation(parts) => alternation(parts),
        HirKind::Concat(parts) => concat(parts),
    }
}

fn class_facts(class: &Class) -> Facts {
    let (set, true) = ByteSet::of_class(class) else {
        return Facts::default();
    };
    let mut folded: Vec<Vec<u8>> = set
        .iter()
        .take(2 * EXACT_MAX)
        .map(|byte| vec![byte.to_ascii_lowercase()])
        .collect();
    folded.sort_unstable();
    folded.dedup();
    if folded.is_empty() || folded.len() > 4 {
        return Facts::default();
    }
    Facts::exact(folded)
}

fn alternation(parts: &[Hir]) -> Facts {
    let all: Vec<Facts> = parts.iter().map(facts).collect();
    let mut exact = Some(Vec::new());
    let mut best = Some(Best {
        anchors: Vec::new(),
        share: 0.0,
    });
    for one in all {
        exact = match (exact, one.exact) {
            (Some(mut sum), Some(more)) if sum.len() + more.len() <= EXACT_MAX => {
                sum.extend(more);
                Some(sum)
            }
            _ => None,
        };
        best = match (best, one.best) {
            (Some(mut sum), Some(more)) => {
                sum.anchors.extend(more.anchors);
                sum.share += more.share;
                Some(sum)
            }
            _ => None,
        };
    }
    if let Some(exact) = &mut exact {
        exact.sort_unstable();
        exact.dedup();
    }
    Facts { exact, best }
}

fn concat(parts: &[Hir]) -> Facts {
    let mut best = None;
    // What can stand before the current part, and the run of exact parts up to it.
    let (mut min, mut max) = (0usize, Some(0usize));
    let mut run: (Vec<Vec<u8>>, usize, Option<usize>) = (vec![Vec::new()], 0, Some(0));
    let mut whole = true;
    for part in parts {
        let known = facts(part);
        let joined = known.exact.as_ref().and_then(|exact| cross(&run.0, exact));
        match (joined, known.exact) {
            (Some(joined), _) => run.0 = joined,
            (None, exact) => {
                best = Best::better(best, Best::of(&run.0, run.1, run.2));
                whole = false;
                let properties = part.properties();
                run = match exact {
                    Some(exact) => (exact, min, max),
                    None => (
                        vec![Vec::new()],
                        min + properties.minimum_len().unwrap_or(0),
                        sum(max, properties.maximum_len()),
                    ),
                };
            }
        }
        let shifted = known.best.and_then(|best| best.shifted(min, max));
        best = Best::better(best, shifted);
        min += part.properties().minimum_len().unwrap_or(0);
        max = sum(max, part.properties().maximum_len());
    }
    best = Best::better(best, Best::of(&run.0, run.1, run.2));
    Facts {
        exact: whole.then_some(run.0),
        best,
    }
}

fn sum(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    a?.checked_add(b?)
}

fn cross(heads: &[Vec<u8>], tails: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if heads.len() * tails.len() > EXACT_MAX {
        return None;
    }
    let mut out = Vec::new();
    for head in heads {
        for tail in tails {
            if head.len() + tail.len() > 4 * LITERAL_MAX {
                return None;
            }
            out.push([head.as_slice(), tail].concat());
        }
    }
    out.sort_unstable();
    out.dedup();
    Some(out)
}

/// Adds what each next byte must be; yields whether all of the part is covered, so that what
/// follows it stands at a known place.
fn push_head(hir: &Hir, head: &mut Vec<ByteSet>) -> bool {
    if head.len() >= HEAD_MAX {
        return false;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => {
            for byte in &literal.0 {
                if head.len() >= HEAD_MAX {
                    return false;
                }
                head.push(ByteSet::of(*byte));
            }
            true
        }
        HirKind::Class(class) => {
            let (set, narrow) = ByteSet::of_class(class);
            head.push(set);
            narrow
        }
        HirKind::Capture(capture) => push_head(&capture.sub, head),
        HirKind::Repetition(repetition) => {
            for _ in 0..repetition.min {
                if !push_head(&repetition.sub, head) {
                    return false;
                }
            }
            repetition.max == Some(repetition.min)
        }
        HirKind::Concat(parts) => parts.iter().all(|part| push_head(part, head)),
        HirKind::Alternation(parts) => {
            let mut all: Option<Vec<ByteSet>> = None;
            let mut same = true;
            for part in parts {
                let mut own = Vec::new();
                same &= push_head(part, &mut own);
                all = Some(match all {
                    None => own,
                    Some(before) => {
                        same &= before.len() == own.len();
                        before
                            .into_iter()
                            .zip(own)
                            .map(|(a, b)| a.union(b))
                            .collect()
                    }
                });
            }
            for set in all.unwrap_or_default() {
                if head.len() >= HEAD_MAX {
                    return false;
                }
                head.push(set);
            }
            same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitleaks::file::{At, Place};
    use crate::gitleaks::pattern::Pattern;

    fn plan(pattern: &str) -> Plan {
        let at = At {
            value: pattern.to_owned(),
            place: Place {
                file: "test".into(),
                line: 1,
            },
        };
        Plan::new(Pattern::new(&at, "", "regex").unwrap().hir())
    }

    #[track_caller]
    fn check(pattern: &str, expected: &[(&str, usize, usize)]) {
        let mut found: Vec<(String, usize, usize)> = plan(pattern)
            .anchors
            .into_iter()
            .map(|anchor| {
                let literal = String::from_utf8(anchor.literal).unwrap();
                (literal, anchor.before_min, anchor.before_max)
            })
            .collect();
        found.sort();
        let expected: Vec<(String, usize, usize)> = expected
            .iter()
            .map(|(literal, min, max)| ((*literal).to_owned(), *min, *max))
            .collect();
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn anchors_are_in_every_match() {
        check(r"\bAKIA[A-Z0-9]{16}\b", &[("akia", 0, 0)]);
        check(r"(?:ghu|ghs)_[0-9]{36}", &[("ghs_", 0, 0), ("ghu_", 0, 0)]);
        check(
            r"(?i)linked[_-]?in",
            &[("linked-in", 0, 0), ("linked_in", 0, 0), ("linkedin", 0, 0)],
        );
        check(r"[a-z]{3,5}-zq[0-9]+", &[("-zq", 3, 5)]);
        check(r"(?:abq|x[0-9]+)z", &[]);
        check(r"[0-9]+zqzq", &[]);
        check(r"(?:zqx)?a", &[]);
        check(r"a(?:zqx){2,}", &[("zqx", 1, 1)]);
    }

    #[test]
    fn a_leading_run_is_split_off() {
        let plan = plan(r"(?i)[\w.-]{0,50}?(?:zqkey)[ ]{0,3}=");
        assert_eq!(plan.leading.map(|leading| leading.max), Some(50));
        assert_eq!(plan.anchors.len(), 1);
        assert_eq!(plan.head.len(), 5);
    }

    #[test]
    fn the_head_is_what_every_match_starts_with() {
        let plan = plan(r"\b(?:ab|ac)[0-9]{2}x?");
        assert_eq!(plan.head.len(), 4);
        assert!(plan.head_fits(b"ac12"));
        assert!(!plan.head_fits(b"ad12"));
        assert!(!plan.head_fits(b"ab1"));
    }
}
