//! What every handler shares: built once at start-up, outside the worker factory.

use std::path::PathBuf;
use std::sync::Arc;

use diesel::PgConnection;
use refwarden_config::Config;
use refwarden_policy::Policy;

use crate::db::pool::DbPool;
use crate::error::AppError;
use crate::identity::{Authorities, Issuers};
use crate::packs::PackStore;

/// Shared state.
pub struct AppState {
    /// `refwarden.toml`.
    pub config: Config,
    /// The directory in which `refwarden.toml` stands; relative paths in it start here.
    pub config_dir: PathBuf,
    /// Database connections.
    pub pool: DbPool,
    /// Identity providers.
    pub issuers: Issuers,
    /// Authorities of SSH certificates.
    pub authorities: Authorities,
    /// Policy in force.
    pub policy: Arc<Policy>,
    /// Packs as received.
    pub packs: PackStore,
    /// For calls to identity providers: no redirects, bounded time.
    pub http: reqwest::Client,
    /// Woken at every decision and state change of a request.
    pub changed: tokio::sync::watch::Sender<u64>,
    /// Who has streams of events open.
    pub streams: Arc<crate::api::stream::room::Room>,
    /// Held by the one who looks whether the service is ready.
    pub looking: Arc<tokio::sync::Mutex<()>>,
    /// True once the service is told to stop.
    pub stopping: tokio::sync::watch::Receiver<bool>,
    /// What makes Refwarden's own tokens, where it does.
    pub tokens: Option<crate::tokens::Tokens>,
    /// The tamper-evident log.
    pub ledger: crate::ledger::Ledger,
    /// Ways of telling people of requests.
    pub notify: crate::notify::Channels,
    /// The built-in identity provider, in the quick start.
    pub idp: Option<crate::idp::Idp>,
}

impl AppState {
    /// Runs database work on a blocking thread, taking the connection there too.
    ///
    /// # Errors
    /// What `work` fails with, or [`AppError::Pool`] when no connection can be had in time.
    pub async fn db<T, F>(&self, work: F) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, AppError> + Send + 'static,
    {
        let pool = self.pool.clone();
        actix_web::web::block(move || work(&mut *pool.get()?)).await?
    }

    /// Tells everyone who waits for a request that something changed.
    pub fn announce(&self) {
        self.changed
            .send_modify(|version| *version = version.wrapping_add(1));
    }
}
