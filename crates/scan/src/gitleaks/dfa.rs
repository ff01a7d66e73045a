//! Tries a pattern at one place, and says how far it had to read.
//!
//! Nearly all tries fail within a few bytes. The general search of `regex-automata` does not say
//! where it gave up, which is needed to keep the time linear, and costs more to begin.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;

use crate::matcher::SIZE_LIMIT;

type Caches = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>;

/// A lazily built automaton and the states it has built, one set for each thread.
pub(super) struct Dfa {
    dfa: DFA,
    caches: Caches,
}

impl std::fmt::Debug for Dfa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dfa").finish_non_exhaustive()
    }
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    /// End of the match, if there is one.
    pub(super) end: Option<usize>,
    /// Bytes read.
    pub(super) read: usize,
}

impl Dfa {
    /// `None` if the pattern does not fit the limits.
    pub(super) fn new(hir: &Hir) -> Option<Self> {
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build_from_hir(hir)
            .ok()?;
        let dfa = DFA::builder()
            .configure(
                DFA::config()
                    .cache_capacity(2 * SIZE_LIMIT)
                    .skip_cache_capacity_check(true),
            )
            .build_from_nfa(nfa)
            .ok()?;
        let own = dfa.clone();
        let caches: Caches = Pool::new(Box::new(move || own.create_cache()));
        Some(Self { dfa, caches })
    }

    /// Matches exactly at `start`, as far as `text` goes. `None` if the automaton gives up.
    pub(super) fn try_at(&self, text: &[u8], start: usize) -> Option<Tried> {
        let mut cache = self.caches.get();
        let cache = &mut *cache;
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        let mut state = self.dfa.start_state_forward(cache, &input).ok()?;
        let mut end = None;
        for (read, byte) in text.get(start..)?.iter().enumerate() {
            state = self.dfa.next_state(cache, state, *byte).ok()?;
            if state.is_tagged() {
                // A match shows one byte late, so that what follows can be looked at.
                if state.is_match() {
                    end = Some(start + read);
                } else if state.is_dead() {
                    return Some(Tried { end, read });
                } else if state.is_quit() {
                    return None;
                }
            }
        }
        state = self.dfa.next_eoi_state(cache, state).ok()?;
        if state.is_match() {
            end = Some(text.len());
        }
        let read = text.len() - start;
        Some(Tried { end, read })
    }
}
