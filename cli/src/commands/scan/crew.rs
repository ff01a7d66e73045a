//! Threads that share one list of things to do.

use std::sync::{Mutex, PoisonError};

use super::tally::Tally;
use crate::failure::{Failure, Outcome};

/// Does each of `items`, in any order, on `jobs` threads; each thread counts for itself, and
/// what all have counted is added to `tally`. The list is walked by whoever is free, so it may
/// be long and slow. Where the system gives fewer threads, those do it.
pub fn work<I>(
    jobs: usize,
    items: I,
    tally: &mut Tally,
    one: impl Fn(I::Item, &mut Tally) + Sync,
) -> Outcome<()>
where
    I: Iterator + Send,
    I::Item: Send,
{
    let shared = Mutex::new(items);
    let next = || {
        let mut items = shared.lock().unwrap_or_else(PoisonError::into_inner);
        items.next()
    };
    let turn = |mut tally: Tally| {
        while let Some(item) = next() {
            one(item, &mut tally);
        }
        tally
    };
    if jobs <= 1 {
        let own = tally.sibling();
        tally.absorb(turn(own));
        return Ok(());
    }
    std::thread::scope(|scope| {
        let turn = &turn;
        let crew = (1..jobs).map_while(|_| {
            let own = tally.sibling();
            let thread = std::thread::Builder::new();
            thread.spawn_scoped(scope, move || turn(own)).ok()
        });
        let crew: Vec<_> = crew.collect();
        let own = turn(tally.sibling());
        tally.absorb(own);
        for member in crew {
            match member.join() {
                Ok(own) => tally.absorb(own),
                Err(_) => return Err(Failure::new("a thread of the scan has failed")),
            }
        }
        Ok(())
    })
}
