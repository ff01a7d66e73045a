//! Room for streams: how many may be open, of one auditor and of all. It counts, and knows nothing of
//! what they send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use refwarden_model::Actor;

use crate::error::AppError;

/// Streams that are open at a time, of all.
pub const MOST: usize = 32;
/// Streams of one auditor, so that nobody takes up all there is.
pub const MOST_OF_ONE: usize = 5;

/// An issuer and a subject.
type Who = (String, String);

/// How many streams each auditor has open.
#[derive(Default)]
pub struct Room(Mutex<HashMap<Who, usize>>);

/// A place for one stream, free again when this is dropped.
pub struct Place {
    room: Arc<Room>,
    who: Who,
}

impl Room {
    /// Takes a place.
    ///
    /// # Errors
    /// [`AppError::TooMany`] where none is free.
    pub fn enter(self: &Arc<Self>, actor: &Actor) -> Result<Place, AppError> {
        let who = (actor.issuer.clone(), actor.subject.clone());
        let mut open = self.open();
        if open.values().sum::<usize>() >= MOST {
            let text = format!("{MOST} streams are open already. Try again later.");
            return Err(AppError::too_many(text));
        }
        let own = open.entry(who.clone()).or_default();
        if *own >= MOST_OF_ONE {
            let text = format!("{MOST_OF_ONE} streams of yours are open already. Close one first.");
            return Err(AppError::too_many(text));
        }
        *own += 1;
        Ok(Place {
            room: Arc::clone(self),
            who,
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Who, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.room.open();
        if let Some(own) = open.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use refwarden_model::ActorKind;

    use super::*;

    fn named(subject: usize) -> Actor {
        Actor {
            issuer: "i".to_owned(),
            subject: subject.to_string(),
            kind: ActorKind::Human,
            name: None,
            email: None,
            groups: Vec::new(),
            claims: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn nobody_takes_up_all_there_is_and_all_together_are_bounded() {
        let room = Arc::new(Room::default());
        let refused = |number: usize| room.enter(&named(number)).is_err();
        let mut places: Vec<Place> = (0..MOST_OF_ONE)
            .map(|_| room.enter(&named(0)).ok().unwrap())
            .collect();
        assert!(refused(0) && !refused(1));
        drop(places.pop());
        assert!(!refused(0));
        places.extend((places.len()..MOST).map(|number| room.enter(&named(number)).ok().unwrap()));
        assert!(refused(0) && refused(1000));
        drop(places.pop());
        assert!(!refused(1000));
        drop(places);
        assert!(room.open().is_empty());
    }
}
