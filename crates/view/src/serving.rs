//! What all who serve masked readers share, be it the proxy or the login shell: finds the shadow
//! that a reader gets, and knows the programs that make one and that take what is pushed.
//!
//! Shadows are made by a program of their own, `refwarden view refresh`, so that neither its
//! memory nor its end are those of whoever serves. What it deliberately does not do: it starts
//! nothing, waits for nothing, and never falls back on the repository.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use refwarden_gitio::Repository;
use refwarden_scan::{FingerprintKey, Ruleset};
use refwarden_wire::fetch::ServedView;
use refwarden_wire::hook::MaskedView;

use crate::cache::{Open, Place, shadow};
use crate::{RefFilters, rules};

/// How views are found and made on a host.
pub struct Views {
    cache: PathBuf,
    key_file: PathBuf,
    rules: Vec<PathBuf>,
    wait: Duration,
    programs: PathBuf,
    key: FingerprintKey,
    texts: Vec<(String, String)>,
    compiled: Mutex<HashMap<Named, Arc<Ruleset>>>,
}

/// Whether generic rules are among them, and what names them.
type Named = (bool, Vec<String>);

/// A shadow that stays while this lives.
pub struct Shadow {
    /// Its directory.
    pub directory: PathBuf,
    /// The view's id.
    pub view: String,
    /// Its generation.
    pub open: Open,
}

impl Shadow {
    /// The view, as the record of a fetch names it.
    pub fn served(&self) -> ServedView {
        ServedView {
            id: self.view.clone(),
            ruleset: self.open.about.ruleset.clone(),
        }
    }
}

/// What was found of a view.
pub struct Found {
    /// Where it stands, or will.
    pub place: Place,
    /// The shadow, where one stands that will do.
    pub shadow: Option<Shadow>,
}

impl Views {
    /// Reads key and rules. `beside` resolves paths of the configuration; `programs` is the
    /// directory of `refwarden` and `refwarden-receive`.
    ///
    /// # Errors
    /// One sentence: what cannot be used. Rules that cannot be are told when they are needed.
    pub fn new(
        section: &refwarden_config::Views,
        beside: &dyn Fn(&Path) -> PathBuf,
        programs: &Path,
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
        Ok(Self {
            cache: beside(&section.cache),
            key_file,
            rules,
            wait: Duration::from_secs(section.wait_seconds),
            programs: programs.to_owned(),
            key: FingerprintKey::new(key),
            texts,
            compiled: Mutex::default(),
        })
    }

    /// How long a reader waits for a view.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// The rules that mask a view.
    ///
    /// # Errors
    /// One sentence: which rule cannot be used.
    pub fn ruleset(&self, view: &MaskedView) -> Result<Arc<Ruleset>, String> {
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let named = (view.generic, view.rules.clone());
        if let Some(known) = compiled().get(&named) {
            return Ok(Arc::clone(known));
        }
        let texts = self.texts.iter().map(|(name, text)| (&**name, &**text));
        let ruleset = rules::ruleset(&texts.collect::<Vec<_>>(), view);
        let ruleset =
            ruleset.map_err(|error| format!("the rules of views cannot be used: {error}"))?;
        let ruleset = compiled().entry(named).or_insert(Arc::new(ruleset)).clone();
        Ok(ruleset)
    }

    /// Opens the shadow that is there. Where it has to be `fresh`, only if it is as the
    /// repository is now.
    ///
    /// # Errors
    /// One sentence, for logs.
    pub fn look(&self, view: &MaskedView, directory: &Path, fresh: bool) -> Result<Found, String> {
        let repository = Repository::open(directory).map_err(|error| error.to_string())?;
        let filters = view.filters.iter().map(|it| (&it.refs[..], &it.hide[..]));
        let filters = RefFilters::new(filters).map_err(|error| error.to_string())?;
        let ruleset = self.ruleset(view)?;
        let place = Place::filtered(&self.cache, &repository, &ruleset, &self.key, filters);
        let Some(open) = place.open() else {
            return Ok(Found {
                place,
                shadow: None,
            });
        };
        let good = !fresh
            || Place::is_fresh(&open.about, &repository).map_err(|error| error.to_string())?;
        let shadow = good.then(|| Shadow {
            directory: shadow(&open.directory),
            view: place.view().to_owned(),
            open,
        });
        Ok(Found { place, shadow })
    }

    /// The command that makes the view as the repository is: `refwarden view refresh`. What is
    /// wrong comes on standard error.
    pub fn refresher(&self, view: &MaskedView, directory: &Path) -> Command {
        let mut command = self.program("refwarden");
        command.args(["view", "refresh", "--json", "--cache"]);
        command.arg(&self.cache).arg("--key").arg(&self.key_file);
        for path in &self.rules {
            command.arg("--rules").arg(path);
        }
        command.arg(format!("--view={}", text(view)));
        command.arg("--").arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        command
    }

    /// The command that takes a push in terms of a shadow: `refwarden-receive`.
    pub fn receiver(&self, view: &MaskedView, directory: &Path, shadow: &Shadow) -> Command {
        let mut command = self.program("refwarden-receive");
        command.arg("--repository").arg(directory);
        command.arg("--generation").arg(&shadow.open.directory);
        command.arg("--key").arg(&self.key_file);
        for path in &self.rules {
            command.arg("--rules").arg(path);
        }
        command.arg("--view").arg(text(view));
        command.arg("--work").arg(self.cache.join("pushes"));
        command
    }

    /// A program of ours, with little of this process's environment.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "USER"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }
}

/// Plain data with text keys, so this cannot fail; an empty text is no view.
fn text(view: &MaskedView) -> String {
    serde_json::to_string(view).unwrap_or_default()
}
