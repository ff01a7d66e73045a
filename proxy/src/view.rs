//! Masked views: has the shadow that a reader gets made where it is not there or not as the
//! repository is now.
//!
//! For one view of one repository one is made at a time, and all who need it wait for the same.
//! What it deliberately does not do: it masks nothing itself, and it never falls back on the
//! repository. What it shares with the login shell is `refwarden_view::serving`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web;
use refwarden_model::bytes::escape;
use refwarden_view::cache::Place;
use refwarden_view::serving::{self, Found, Shadow};
use refwarden_wire::hook::MaskedView;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::refusal::Refusal;
use crate::route::Step;
use refwarden_gitio::served::Served;

/// Views that are made at the same time at most.
const BUILDERS: usize = 2;

/// Bytes of standard error that are logged.
const LOGGED: usize = 2048;

/// All that the proxy knows of masked views.
pub struct Views {
    serving: serving::Views,
    flights: Mutex<HashMap<PathBuf, Flight>>,
    builders: Arc<Semaphore>,
}

/// A build that is under way: none, then whether it succeeded.
type Flight = watch::Receiver<Option<bool>>;

impl Views {
    /// Reads key and rules. `beside` resolves paths of the configuration.
    ///
    /// # Errors
    /// One sentence: what cannot be used.
    pub fn new(
        section: &refwarden_config::Views,
        beside: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let programs = program.parent().unwrap_or(Path::new("."));
        let serving = serving::Views::new(section, beside, programs)?;
        for generic in [false, true] {
            serving.ruleset(&MaskedView {
                generic,
                ..MaskedView::default()
            })?;
        }
        Ok(Self {
            serving,
            flights: Mutex::default(),
            builders: Arc::new(Semaphore::new(BUILDERS)),
        })
    }

    /// The shadow of a repository that a reader gets. Before an advertisement it is made as the
    /// repository is, so that a fetch sees every push that ended before it began. The exchange
    /// that follows takes whatever is there.
    ///
    /// # Errors
    /// [`Refusal::ViewNotReady`] where it is not there in time or cannot be made.
    pub async fn open(
        self: &Arc<Self>,
        view: &MaskedView,
        repository: &Served,
        step: Step,
    ) -> Result<Shadow, Refusal> {
        let deadline = Instant::now() + self.serving.wait();
        let wanted = Wanted {
            view: view.clone(),
            directory: repository.directory.clone(),
        };
        let (place, found) = self.look(&wanted, step == Step::Advertise).await?;
        if let Some(open) = found {
            return Ok(open);
        }
        let mut succeeded = false;
        // The first may have begun before this request did, and so before a push that it has to
        // see; the second did not.
        for _ in 0..2 {
            let mut flight = self.flight(&place, &wanted);
            let ended = timeout_at(deadline, flight.wait_for(Option::is_some)).await;
            let Ok(ended) = ended else {
                return Err(Refusal::ViewNotReady);
            };
            succeeded = ended.is_ok_and(|ended| *ended == Some(true));
            if let (_, Some(open)) = self.look(&wanted, true).await? {
                return Ok(open);
            }
        }
        // Where pushes never cease, none is up to date for long.
        let (_, found) = self.look(&wanted, !succeeded).await?;
        found.ok_or(Refusal::ViewNotReady)
    }

    /// Opens the shadow that is there, if it is, or need not be, as the repository is now.
    async fn look(
        self: &Arc<Self>,
        wanted: &Wanted,
        fresh: bool,
    ) -> Result<(Place, Option<Shadow>), Refusal> {
        let (views, wanted) = (Arc::clone(self), wanted.clone());
        let look = move || views.serving.look(&wanted.view, &wanted.directory, fresh);
        let looked = web::block(look).await;
        let looked = looked.map_err(|error| error.to_string()).flatten();
        let looked = looked.map_err(|error| {
            tracing::error!(%error, "a masked view cannot be looked for");
            Refusal::ViewNotReady
        });
        looked.map(|Found { place, shadow }| (place, shadow))
    }

    /// The build that is under way, or a new one.
    fn flight(self: &Arc<Self>, place: &Place, wanted: &Wanted) -> Flight {
        let directory = place.directory().to_owned();
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&directory) {
            return flight.clone();
        }
        let (end, flight) = watch::channel(None);
        flights.insert(directory.clone(), flight.clone());
        let (views, wanted) = (Arc::clone(self), wanted.clone());
        tokio::spawn(async move {
            let succeeded = views.build(&wanted).await;
            // Before it is told, so that whoever is told finds no build that has ended.
            views.flights().remove(&directory);
            let _ = end.send(Some(succeeded));
        });
        flight
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn build(&self, wanted: &Wanted) -> bool {
        let Ok(_turn) = self.builders.acquire().await else {
            return false;
        };
        let begun = Instant::now();
        let refresher = self.serving.refresher(&wanted.view, &wanted.directory);
        let output = tokio::process::Command::from(refresher).output().await;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let repository = wanted.directory.display();
        match output {
            Ok(output) if output.status.success() => {
                tracing::info!(%repository, milliseconds, "a masked view is up to date");
                true
            }
            Ok(output) => {
                let said = output.stderr.get(..LOGGED).unwrap_or(&output.stderr);
                let (status, said) = (output.status, escape(said));
                tracing::error!(%repository, %status, said, "a masked view was not made");
                false
            }
            Err(error) => {
                tracing::error!(%error, "a masked view cannot be made: refwarden does not start");
                false
            }
        }
    }

    /// The command that takes a push in terms of a shadow.
    pub fn receiver(&self, view: &MaskedView, repository: &Served, shadow: &Shadow) -> Command {
        self.serving.receiver(view, &repository.directory, shadow)
    }
}

/// Which view of which repository.
#[derive(Clone)]
struct Wanted {
    view: MaskedView,
    directory: PathBuf,
}
