//! The tamper-evident log: puts committed events into it in order, signs checkpoints, and keeps
//! them in a second place.
//!
//! A background task, so that pushes wait for nothing of it (docs/decisions/
//! 0012-events-are-sequenced-in-the-background.md). It judges nothing and changes no event.

mod second_place;
mod sequencer;
mod terms;

use std::path::Path;
use std::sync::Mutex;

use actix_web::web::Data;
use refwarden_config::Config;
use refwarden_merkle::bundle::{Manifest, Writer};
use refwarden_merkle::{PublicKey, SecretKey, Tree};

use self::second_place::SecondPlace;
use crate::sign;
use crate::state::AppState;

/// Starts what runs in the background.
pub fn start(state: &Data<AppState>) {
    sequencer::start(state);
    terms::start(state);
}

/// What is needed to keep the log.
pub struct Ledger {
    key: SecretKey,
    /// Seconds between checkpoints, while events come in.
    seconds: i64,
    second_place: SecondPlace,
    /// The tree as this process has last seen it, so that hashes of old leaves are not read
    /// again for each checkpoint, and cannot be changed under it either.
    tree: Mutex<Option<Tree>>,
}

impl Ledger {
    /// Opens the signing key, and makes one where there is none.
    ///
    /// # Errors
    /// One sentence: what is wrong with the key, the origin, the seconds or the directory.
    pub fn open(config: &Config, directory: &Path) -> Result<Self, String> {
        let ledger = &config.ledger;
        if !(1..=60).contains(&ledger.checkpoint_seconds) {
            return Err("ledger.checkpoint_seconds: expected 1 to 60".to_owned());
        }
        let origin = ledger.origin.clone().unwrap_or_else(|| {
            let url = &config.service.public_url;
            let name = url.split_once("://").map_or(url.as_str(), |(_, name)| name);
            format!("{name}/log")
        });
        let der = sign::key_file(&directory.join(&ledger.signing_key))?;
        let key = SecretKey::of_log(&origin, &der)
            .map_err(|error| format!("ledger.signing_key, ledger.origin: {error}"))?;
        let second_place = SecondPlace::open(directory.join(&ledger.second_place), key.public())
            .map_err(|error| format!("ledger.second_place: {error}"))?;
        Ok(Self {
            key,
            seconds: i64::from(ledger.checkpoint_seconds),
            second_place,
            tree: Mutex::new(None),
        })
    }

    /// Ends an evidence bundle with its manifest, signed with the log's key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end_bundle<W: std::io::Write>(
        &self,
        bundle: Writer<W>,
        manifest: Manifest,
    ) -> std::io::Result<W> {
        bundle.finish(manifest, &self.key)
    }

    /// The key that checks checkpoints.
    pub const fn public_key(&self) -> &PublicKey {
        self.key.public()
    }
}
