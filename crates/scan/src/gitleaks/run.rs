//! One text, from first byte to last, in views that follow each other.
//!
//! Text is taken in blocks of [`BLOCK`] bytes at fixed offsets. A match that starts in a block
//! ends in it or in the next one, and sees nothing behind that; so neither the size of the
//! pieces in which the text arrives nor the moment of a search can change what is found.

use regex_automata::Input;

use super::allow::Origin;
use super::engine::{Compiled, Engine};
use super::plan::{LEADING_MAX, Plan};
use super::prefilter::Use;
use super::raw::{self, Raw};
use super::verdict::{LINE_MAX, judge};
use crate::lines::Marker;
use crate::secret::Secret;
use crate::sweep::View;

/// Offsets at which the end of what a match can see jumps.
const BLOCK: u64 = BLOCK_BYTES as u64;
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes that tries of a rule in one block may read; then it searches, so that the time stays
/// linear in the text.
const EFFORT_MAX: u64 = 2 * BLOCK;

/// A distance between anchor and start that varies by more is searched, not tried.
const WIDTH_MAX: u64 = 64;

/// Where a match of a rule may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rule: usize,
    first: u64,
    last: u64,
}

/// What is known of a rule in this text.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    applies: Option<bool>,
    keyword: bool,
    /// No match starts before this any more.
    cursor: u64,
}

/// A scan in progress.
#[derive(Debug)]
pub(crate) struct Run<'e> {
    pub(super) engine: &'e Engine,
    path: Option<Box<[u8]>>,
    commit: Option<Box<str>>,
    /// An allow-list acquits everything.
    acquitted: bool,
    states: Vec<State>,
    candidates: Vec<Candidate>,
    pub(super) raws: Vec<Raw>,
    /// Literals that end at or before this are known.
    scanned: u64,
    /// Starts before this are done.
    settled: u64,
    /// At or before all starts to come.
    place: Marker,
    pub(super) any: bool,
}

impl<'e> Run<'e> {
    pub(crate) fn new(engine: &'e Engine, path: Option<&[u8]>, commit: Option<&str>) -> Self {
        let origin = Origin { path, commit };
        Self {
            engine,
            acquitted: engine
                .allowlists
                .iter()
                .any(|list| list.allows_origin(origin)),
            path: path.map(Box::from),
            commit: commit.map(Box::from),
            states: vec![State::default(); engine.rules.len()],
            candidates: Vec::new(),
            raws: Vec::new(),
            scanned: 0,
            settled: 0,
            place: Marker::start(),
            any: false,
        }
    }

    /// Bytes before the end of the last view that the next one must still hold.
    pub(crate) fn retain(&self) -> usize {
        3 * BLOCK_BYTES + self.engine.prefilter.reach() + LEADING_MAX + LINE_MAX + 2
    }

    /// Takes a view that continues the last one.
    pub(crate) fn sweep(&mut self, view: View<'_>) {
        if self.acquitted {
            return;
        }
        self.any |= !view.bytes.is_empty();
        let to = if view.last {
            view.end()
        } else {
            (view.end() / BLOCK * BLOCK).saturating_sub(BLOCK)
        };
        if to <= self.scanned && !view.last {
            return;
        }
        self.note(view, to);
        let limit = if view.last {
            to
        } else {
            to.saturating_sub(self.engine.prefilter.reach() as u64)
        };
        let known = self.raws.len();
        self.settle(view, limit);
        self.settle_anywhere(view, limit);
        self.settled = limit;
        self.locate(view, known, limit);
    }

    /// Notes where matches may start, as far as literals up to `to` say.
    fn note(&mut self, view: View<'_>, to: u64) {
        let engine = self.engine;
        let bytes = view.bytes.get(..view.index(to)).unwrap_or_default();
        let from = view.index(self.scanned);
        let (states, candidates) = (&mut self.states, &mut self.candidates);
        engine.prefilter.hits(bytes, from, |used, at| match used {
            Use::Keyword { rule } => {
                if let Some(state) = states.get_mut(rule) {
                    state.keyword = true;
                }
            }
            Use::Anchor {
                rule,
                before_min,
                before_max,
            } => {
                let Some(start) = at.checked_sub(before_min) else {
                    return;
                };
                if before_min == before_max {
                    let plan = engine.rules.get(rule).and_then(|rule| rule.plan.as_ref());
                    let there = view.bytes.get(start..).unwrap_or_default();
                    if !plan.is_some_and(|plan| plan.head_fits(there)) {
                        return;
                    }
                }
                candidates.push(Candidate {
                    rule,
                    first: view.base + at.saturating_sub(before_max) as u64,
                    last: view.base + start as u64,
                });
            }
        });
        self.scanned = to;
    }

    /// Tries all candidates that start before `limit`.
    fn settle(&mut self, view: View<'_>, limit: u64) {
        let engine = self.engine;
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.sort_unstable();
        let mut later = Vec::new();
        let mut effort = Effort::default();
        for candidate in candidates {
            let Candidate { rule, first, last } = candidate;
            if last >= limit {
                let first = first.max(limit);
                later.push(Candidate { rule, first, last });
            }
            if first >= limit {
                continue;
            }
            if let Some(compiled) = engine.rules.get(rule)
                && self.applies(rule, compiled)
            {
                self.attempt(
                    view,
                    rule,
                    compiled,
                    (first, last.min(limit - 1)),
                    &mut effort,
                );
            }
        }
        self.candidates = later;
    }

    /// Tries the rules without anchor on all starts up to `limit`.
    fn settle_anywhere(&mut self, view: View<'_>, limit: u64) {
        let engine = self.engine;
        // With all of the text at hand, a rule without its keyword need not run. Otherwise the
        // keyword may be yet to come.
        let whole = view.last && self.settled == 0;
        for &rule in &engine.anywhere {
            let Some(compiled) = engine.rules.get(rule) else {
                continue;
            };
            let keyword = self.states.get(rule).is_some_and(|state| state.keyword);
            let needed = keyword || compiled.keyword_implied || compiled.is_required || !whole;
            if needed && limit > self.settled && self.applies(rule, compiled) {
                self.search(view, rule, compiled, (self.settled, limit - 1));
            }
        }
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            path: self.path.as_deref(),
            commit: self.commit.as_deref(),
        }
    }

    /// Whether the rule is meant for this path and no allow-list of its own acquits all.
    pub(super) fn applies(&mut self, rule: usize, compiled: &Compiled) -> bool {
        if let Some(known) = self.states.get(rule).and_then(|state| state.applies) {
            return known;
        }
        let origin = self.origin();
        let silent = compiled.spec.skip_report && !compiled.is_required;
        let wanted = compiled.path.as_ref().is_none_or(|test| {
            // What cannot be asked must not acquit.
            origin
                .path
                .is_some_and(|path| test.is_match(path).unwrap_or(true))
        });
        let lists = &compiled.spec.allowlists;
        let applies = wanted && !silent && !lists.iter().any(|list| list.allows_origin(origin));
        if let Some(state) = self.states.get_mut(rule) {
            state.applies = Some(applies);
        }
        applies
    }

    /// Whether a keyword of the rule stands in the text, as far as that matters.
    pub(super) fn has_keyword(&self, rule: usize) -> bool {
        self.states.get(rule).is_some_and(|state| state.keyword)
            || self
                .engine
                .rules
                .get(rule)
                .is_some_and(|rule| rule.keyword_implied)
    }

    pub(super) fn acquitted(&self) -> bool {
        self.acquitted
    }

    pub(super) fn path(&self) -> Option<&[u8]> {
        self.path.as_deref()
    }

    /// Tries the starts of a candidate.
    fn attempt(
        &mut self,
        view: View<'_>,
        rule: usize,
        compiled: &Compiled,
        (first, last): (u64, u64),
        effort: &mut Effort,
    ) {
        let Some(plan) = &compiled.plan else { return };
        if last - first > WIDTH_MAX {
            self.search(view, rule, compiled, (first, last));
            return;
        }
        let mut start = first.max(self.cursor(rule));
        while start <= last {
            let there = view.bytes.get(view.index(start)..).unwrap_or_default();
            if !plan.head_fits(there) {
                start += 1;
                continue;
            }
            if effort.spent(rule, start / BLOCK) {
                start = self.skip(view, rule, compiled, start);
                if start > last {
                    return;
                }
            }
            let text = view.bytes.get(..block_end(view, start)).unwrap_or_default();
            let tried = compiled
                .dfa()
                .and_then(|dfa| dfa.try_at(text, view.index(start)));
            let Some(tried) = tried else {
                // Too many states; the search has another way then.
                self.search(view, rule, compiled, (start, last));
                return;
            };
            effort.add(tried.read);
            match tried.end {
                Some(end) => {
                    let end = view.base + end as u64;
                    self.found(view, rule, compiled, plan, start, end);
                    start = self.cursor(rule).max(start + 1);
                }
                None => start += 1,
            }
        }
    }

    /// The next start, from `start` on, at which the rule can match: one search in place of
    /// many tries. It is kept, as all candidates before it are void.
    fn skip(&mut self, view: View<'_>, rule: usize, compiled: &Compiled, start: u64) -> u64 {
        let Some(regex) = compiled.regex() else {
            return start;
        };
        let text = view.bytes.get(..block_end(view, start)).unwrap_or_default();
        let next_block = (start / BLOCK + 1) * BLOCK;
        let next = regex
            .search(&Input::new(text).range(view.index(start)..))
            .map_or(next_block, |hit| {
                (view.base + hit.start() as u64).min(next_block)
            });
        if let Some(state) = self.states.get_mut(rule) {
            state.cursor = state.cursor.max(next);
        }
        next
    }

    /// Searches for matches that start in `first..=last`, block by block.
    fn search(
        &mut self,
        view: View<'_>,
        rule: usize,
        compiled: &Compiled,
        (first, last): (u64, u64),
    ) {
        let (Some(plan), Some(regex)) = (&compiled.plan, compiled.regex()) else {
            self.fault(view, rule, first);
            return;
        };
        let mut start = first.max(self.cursor(rule));
        while start <= last {
            let stop = last.min((start / BLOCK + 1) * BLOCK - 1);
            let mut end = block_end(view, start);
            if let Some(longest) = plan.longest {
                end = end.min(view.index(stop).saturating_add(longest + 1));
            }
            let text = view.bytes.get(..end).unwrap_or_default();
            let from = view.index(start);
            let hit = regex
                .search(&Input::new(text).range(from..))
                .map(|hit| (view.base + hit.start() as u64, view.base + hit.end() as u64));
            start = match hit {
                Some((at, end)) if at <= stop => {
                    self.found(view, rule, compiled, plan, at, end);
                    self.cursor(rule).max(at + 1)
                }
                // All of what a match in this block can see was searched, so the next candidate
                // need not search it again.
                hit if plan.longest.is_none() => {
                    let next_block = (start / BLOCK + 1) * BLOCK;
                    hit.map_or(next_block, |(at, _)| at.min(next_block))
                }
                _ => stop + 1,
            };
        }
        if let Some(state) = self.states.get_mut(rule) {
            state.cursor = state.cursor.max(start);
        }
    }

    fn cursor(&self, rule: usize) -> u64 {
        self.states.get(rule).map_or(0, |state| state.cursor)
    }

    /// Keeps a match unless something acquits it. Either way the rule goes on behind it.
    fn found(
        &mut self,
        view: View<'_>,
        rule: usize,
        compiled: &Compiled,
        plan: &Plan,
        start: u64,
        end: u64,
    ) {
        let start = leading(plan, view, start, self.cursor(rule));
        if let Some(state) = self.states.get_mut(rule) {
            state.cursor = end.max(start + 1);
        }
        if end <= start {
            return;
        }
        let (from, to) = (view.index(start), view.index(end));
        let text = view
            .bytes
            .get(..block_end(view, start).max(to))
            .unwrap_or_default();
        let Some(verdict) = judge(self.engine, compiled, self.origin(), text, from, to) else {
            return;
        };
        let span = start + verdict.secret.start as u64..start + verdict.secret.end as u64;
        self.raws.push(Raw {
            rule,
            start,
            secret: Secret::new(view.slice(&span)),
            span,
            entropy: verdict.entropy,
            comment: verdict.comment,
            at: (0, 0),
            secret_at: (0, 0),
        });
    }

    /// A pattern that cannot run must not acquit: its anchor counts as a match.
    fn fault(&mut self, view: View<'_>, rule: usize, start: u64) {
        let span = start..(start + 1).min(view.end());
        self.raws.push(Raw {
            rule,
            start,
            secret: Secret::new(view.slice(&span)),
            span,
            entropy: 0.0,
            comment: false,
            at: (0, 0),
            secret_at: (0, 0),
        });
    }

    /// Gives new matches their lines, and forgets the text before all to come.
    fn locate(&mut self, view: View<'_>, known: usize, limit: u64) {
        let mut new = self.raws.split_off(known);
        if !new.is_empty() {
            raw::locate(&mut new, view, self.place);
            self.raws.append(&mut new);
        }
        let to = limit.saturating_sub((LEADING_MAX + 1) as u64);
        if !view.last && to > self.place.offset() {
            let gone = view.slice(&(self.place.offset()..to));
            self.place.advance(gone);
        }
    }
}

/// Bytes read by tries of a rule in a block, while candidates come sorted by rule and start.
#[derive(Debug, Default)]
struct Effort {
    at: Option<(usize, u64)>,
    read: u64,
}

impl Effort {
    fn spent(&mut self, rule: usize, block: u64) -> bool {
        if self.at != Some((rule, block)) {
            (self.at, self.read) = (Some((rule, block)), 0);
        }
        self.read > EFFORT_MAX
    }

    fn add(&mut self, read: usize) {
        self.read += read as u64;
    }
}

/// Index of the end of what a match that starts at `start` can see.
fn block_end(view: View<'_>, start: u64) -> usize {
    view.index((start / BLOCK + 2) * BLOCK)
}

/// Goes back over the leading run that the plan left out.
fn leading(plan: &Plan, view: View<'_>, start: u64, cursor: u64) -> u64 {
    let Some(leading) = plan.leading else {
        return start;
    };
    let from = start
        .saturating_sub(leading.max as u64)
        .max(cursor)
        .min(start);
    let before = view.slice(&(from..start));
    let run = before
        .iter()
        .rev()
        .take_while(|byte| leading.class.contains(**byte))
        .count();
    start - run as u64
}
