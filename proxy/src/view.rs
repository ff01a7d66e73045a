//! Masked views: finds the shadow that a reader gets, and has it made where it is not there or
//! not as the repository is now.
//!
//! Shadows are made by a program of their own, `refwarden view refresh`, so that neither its
//! memory nor its end are the proxy's. For one view of one repository one is made at a time, and
//! all who need it wait for the same. What it deliberately does not do: it masks nothing itself,
//! and it never falls back on the repository.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::web;
use refwarden_gitio::settings;
use refwarden_model::bytes::escape;
use refwarden_scan::{FingerprintKey, Ruleset};
use refwarden_view::RefFilters;
use refwarden_view::cache::{Open, Place, shadow};
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
    cache: PathBuf,
    key_file: PathBuf,
    rules: Vec<PathBuf>,
    wait: Duration,
    program: PathBuf,
    key: FingerprintKey,
    plain: Ruleset,
    generic: Ruleset,
    flights: Mutex<HashMap<PathBuf, Flight>>,
    builders: Arc<Semaphore>,
}

/// A build that is under way: none, then whether it succeeded.
type Flight = watch::Receiver<Option<bool>>;

/// A shadow that stays while this lives.
pub struct Shadow {
    /// Its directory.
    pub directory: PathBuf,
    /// The view's id.
    pub view: String,
    open: Open,
}

impl Views {
    /// Reads key and rules. `beside` resolves paths of the configuration.
    ///
    /// # Errors
    /// One sentence: what cannot be used.
    pub fn new(
        section: &refwarden_config::Views,
        beside: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Self, String> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        let key_file = beside(&section.key_file);
        let mut key = [0; 32];
        hex::decode_to_slice(read(&key_file)?.trim(), &mut key)
            .map_err(|_| format!("{}: expected 64 hexadecimal digits", key_file.display()))?;
        let rules: Vec<PathBuf> = section.rules.iter().map(|path| beside(path)).collect();
        let mut texts = Vec::new();
        for path in &rules {
            texts.push((path.display().to_string(), read(path)?));
        }
        let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (&**a, &**b)).collect();
        let compiled = |ruleset: Result<Ruleset, refwarden_scan::RuleError>| {
            ruleset.map_err(|error| format!("the rules of views cannot be used: {error}"))
        };
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(Self {
            cache: beside(&section.cache),
            key_file,
            rules,
            wait: Duration::from_secs(section.wait_seconds),
            program: program.with_file_name("refwarden"),
            key: FingerprintKey::new(key),
            plain: compiled(Ruleset::builtin_with(&texts))?,
            generic: compiled(Ruleset::builtin_and_generic(&texts))?,
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
        let deadline = Instant::now() + self.wait;
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
        let looked = web::block(move || views.look_now(&wanted, fresh)).await;
        let looked = looked.map_err(|error| error.to_string()).flatten();
        looked.map_err(|error| {
            tracing::error!(%error, "a masked view cannot be looked for");
            Refusal::ViewNotReady
        })
    }

    fn look_now(&self, wanted: &Wanted, fresh: bool) -> Result<(Place, Option<Shadow>), String> {
        let repository = settings::Repository::open(&wanted.directory);
        let repository = repository.map_err(|error| error.to_string())?;
        let filters = wanted.view.filters.iter();
        let filters = RefFilters::new(filters.map(|it| (&it.refs[..], &it.hide[..])))
            .map_err(|error| error.to_string())?;
        let ruleset = if wanted.view.generic {
            &self.generic
        } else {
            &self.plain
        };
        let place = Place::filtered(&self.cache, &repository, ruleset, &self.key, filters);
        let Some(open) = place.open() else {
            return Ok((place, None));
        };
        let good = !fresh
            || Place::is_fresh(&open.about, &repository).map_err(|error| error.to_string())?;
        let found = good.then(|| Shadow {
            directory: shadow(&open.directory),
            view: place.view().to_owned(),
            open,
        });
        Ok((place, found))
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
        let output = self.command(wanted).output().await;
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
                let program = self.program.display();
                tracing::error!(%program, %error, "a masked view cannot be made");
                false
            }
        }
    }

    /// The command that takes a push in terms of a shadow: `refwarden-receive`.
    pub fn receiver(&self, view: &MaskedView, repository: &Served, shadow: &Shadow) -> Command {
        let mut command = command(&self.program.with_file_name("refwarden-receive"));
        command.arg("--repository").arg(&repository.directory);
        command.arg("--generation").arg(&shadow.open.directory);
        command.arg("--key").arg(&self.key_file);
        for path in &self.rules {
            command.arg("--rules").arg(path);
        }
        // Plain data with text keys, so this cannot fail; an empty text is no view.
        command.arg("--view");
        command.arg(serde_json::to_string(view).unwrap_or_default());
        command.arg("--work").arg(self.cache.join("pushes"));
        command
    }

    fn command(&self, wanted: &Wanted) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(command(&self.program));
        command.args(["view", "refresh", "--json", "--cache"]);
        command.arg(&self.cache).arg("--key").arg(&self.key_file);
        for path in &self.rules {
            command.arg("--rules").arg(path);
        }
        // Plain data with text keys, so this cannot fail; an empty text is no view.
        let view = serde_json::to_string(&wanted.view).unwrap_or_default();
        command.arg(format!("--view={view}"));
        command.arg("--").arg(&wanted.directory);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        command
    }
}

/// A program of ours, with little of this process's environment.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "USER"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Which view of which repository.
#[derive(Clone)]
struct Wanted {
    view: MaskedView,
    directory: PathBuf,
}
