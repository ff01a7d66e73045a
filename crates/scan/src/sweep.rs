//! Runs rules on windows around their keywords, piece by piece.
//!
//! A match may *start* where a keyword hit allows it: in `[hit.end - reach, hit.start]`, as the
//! keyword lies inside the match. The union of these ranges depends on the bytes alone, and a
//! range is searched only once all bytes that a match from it can cover are at hand. So neither
//! the size of the pieces nor the moment of the search can change what is found.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use zeroize::Zeroizing;

use crate::decode::Encoding;
use crate::judge::{Verdict, judge};
use crate::matcher::{MATCH_MAX, Matcher};
use crate::prefilter::{Applies, Prefilter};
use crate::rule::Rule;

/// Bytes of the input that are in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'b> {
    pub(crate) bytes: &'b [u8],
    /// Offset of the first byte in the input.
    pub(crate) base: u64,
    /// Whether nothing follows.
    pub(crate) last: bool,
}

impl<'b> View<'b> {
    pub(crate) fn end(self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Index of an offset, clamped to the view.
    pub(crate) fn index(self, offset: u64) -> usize {
        let relative = offset.saturating_sub(self.base);
        usize::try_from(relative)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len())
    }

    pub(crate) fn slice(self, span: &Range<u64>) -> &'b [u8] {
        self.bytes
            .get(self.index(span.start)..self.index(span.end))
            .unwrap_or_default()
    }
}

/// A match that was judged to be a secret.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) rule: usize,
    pub(crate) span: Range<u64>,
    pub(crate) verdict: Verdict,
    /// Set where the secret stands encoded.
    pub(crate) plain: Option<Plain>,
}

/// A secret whose encoded form is what the input holds.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) secret: Zeroizing<Vec<u8>>,
    /// Outermost first.
    pub(crate) via: Vec<Encoding>,
}

/// What is left to do for one rule.
#[derive(Debug, Default)]
struct Work {
    /// Inclusive ranges of starts not yet searched, ascending and apart.
    ranges: VecDeque<(u64, u64)>,
    /// No match starts before this any more.
    cursor: u64,
}

/// The state of one scan between pieces.
#[derive(Debug)]
pub(crate) struct Sweep<'r> {
    rules: &'r [Rule],
    prefilter: &'r Prefilter,
    applies: Applies,
    work: BTreeMap<usize, Work>,
    /// Keywords that end at or before this are known.
    scanned: u64,
}

impl<'r> Sweep<'r> {
    /// Bytes before the end of what was swept that the next view must still hold: a match that
    /// starts [`MATCH_MAX`] before a keyword, the keyword, and one byte of context for `\b`.
    pub(crate) fn retain(&self) -> usize {
        MATCH_MAX + self.prefilter.longest() + 2
    }

    pub(crate) fn new(rules: &'r [Rule], prefilter: &'r Prefilter, path: Option<&[u8]>) -> Self {
        Self {
            rules,
            prefilter,
            applies: Applies::new(prefilter, path),
            work: BTreeMap::new(),
            scanned: 0,
        }
    }

    /// The same rules, with nothing seen yet.
    pub(crate) fn fork(&self) -> Self {
        Self {
            rules: self.rules,
            prefilter: self.prefilter,
            applies: self.applies.clone(),
            work: BTreeMap::new(),
            scanned: 0,
        }
    }

    /// Takes a view that continues the last one and reports what is certain by now.
    pub(crate) fn sweep(&mut self, view: View<'_>, mut found: impl FnMut(Found)) {
        self.note_keywords(view);
        for &rule in self.prefilter.always() {
            if !self.applies.holds(self.rules, rule) {
                continue;
            }
            self.note_range(rule, self.scanned, view.end().saturating_sub(1));
        }
        self.scanned = view.end();
        let rules = self.rules;
        for (&index, work) in &mut self.work {
            if let Some(rule) = rules.get(index) {
                settle(rule, work, view, |span, verdict| {
                    found(Found {
                        rule: index,
                        span,
                        verdict,
                        plain: None,
                    });
                });
            }
        }
    }

    /// Says anew which rules apply, whatever the path.
    pub(crate) fn apply(&mut self, wanted: impl Fn(&Rule) -> bool) {
        self.applies = Applies::by(self.rules, wanted);
    }

    fn note_keywords(&mut self, view: View<'_>) {
        let prefilter = self.prefilter;
        let from = view.index(self.scanned);
        prefilter.hits(view.bytes, from, |hit| {
            let Some(rule) = self.rules.get(hit.rule) else {
                return;
            };
            if !self.applies.holds(self.rules, hit.rule) {
                return;
            }
            let reach = rule.matcher().reach as u64;
            let (start, end) = (view.base + hit.start as u64, view.base + hit.end as u64);
            self.note_range(hit.rule, end.saturating_sub(reach), start);
        });
    }

    /// Adds a range of starts, merging it with the one before where they touch.
    fn note_range(&mut self, rule: usize, first: u64, last: u64) {
        if first > last {
            return;
        }
        let ranges = &mut self.work.entry(rule).or_default().ranges;
        match ranges.back_mut() {
            Some(back) if first <= back.1.saturating_add(1) => {
                back.0 = back.0.min(first);
                back.1 = back.1.max(last);
            }
            _ => ranges.push_back((first, last)),
        }
    }
}

/// Searches every start for which all bytes that its match can cover are at hand.
fn settle(
    rule: &Rule,
    work: &mut Work,
    view: View<'_>,
    mut found: impl FnMut(Range<u64>, Verdict),
) {
    let matcher = rule.matcher();
    // One byte beyond the longest match, for `\b` and `$`.
    let sure = view.end().saturating_sub(matcher.reach as u64 + 1);
    while let Some(&(first, last)) = work.ranges.front() {
        let first = first.max(work.cursor);
        let until = if view.last { last } else { last.min(sure) };
        if first <= until {
            search(
                rule,
                matcher,
                view,
                first,
                until,
                &mut work.cursor,
                &mut found,
            );
        }
        if until < last {
            return;
        }
        work.ranges.pop_front();
    }
}

/// Finds all matches that start in `[first, last]` and moves `cursor` behind them.
fn search(
    rule: &Rule,
    matcher: &Matcher,
    view: View<'_>,
    first: u64,
    last: u64,
    cursor: &mut u64,
    found: &mut impl FnMut(Range<u64>, Verdict),
) {
    let reach = matcher.reach;
    let haystack_end = view
        .index(last)
        .saturating_add(reach + 1)
        .min(view.bytes.len());
    let haystack = view.bytes.get(..haystack_end).unwrap_or_default();
    let (mut at, stop) = (view.index(first), view.index(last));
    let Some(regex) = &matcher.regex else {
        // A fault must not acquit: what cannot be matched counts from here on.
        let span = first..view.base + haystack_end as u64;
        if let Some(verdict) = judge(rule, view.slice(&span)) {
            found(span, verdict);
        }
        *cursor = (*cursor).max(last + 1);
        return;
    };
    while at <= stop {
        let Some(mut hit) = regex
            .find_at(haystack, at)
            .filter(|hit| hit.start() <= stop)
        else {
            break;
        };
        let start = hit.start();
        let mut reachable = haystack;
        if !matcher.bounded {
            // What lies beyond the reach must not take part, or the size of the pieces would.
            reachable = haystack
                .get(..start.saturating_add(reach))
                .unwrap_or(haystack);
            let again = regex
                .find_at(reachable, start)
                .filter(|again| again.start() == start);
            let Some(again) = again else {
                at = start + 1;
                continue;
            };
            hit = again;
        }
        let group = if rule.secret_group == 0 {
            None
        } else {
            regex
                .captures_at(reachable, start)
                .and_then(|groups| groups.get(rule.secret_group))
        };
        let secret = group.unwrap_or(hit).range();
        let span = view.base + secret.start as u64..view.base + secret.end as u64;
        let verdict = judge(rule, view.slice(&span)).filter(|_| !secret.is_empty());
        // After an acquittal the next start is tried: a placeholder must not hide what it touches.
        at = if verdict.is_some() {
            hit.end().max(start + 1)
        } else {
            start + 1
        };
        if let Some(verdict) = verdict {
            found(span, verdict);
        }
        *cursor = (*cursor).max(view.base + at as u64);
    }
    *cursor = (*cursor).max(last + 1);
}
