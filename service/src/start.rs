//! Start-up: read everything, refuse what is wrong, then serve. The only place with context
//! errors as text: here somebody reads them who can mend the cause.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, FormConfig, JsonConfig, PathConfig, PayloadConfig, QueryConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use refwarden_config::Config;
use refwarden_policy::Policy;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::error::AppError;
use crate::identity::{self, Authorities, Issuers};
use crate::ledger::{self, Ledger};
use crate::packs::{PackStore, Recipients};
use crate::state::AppState;
use crate::tokens::Tokens;
use crate::{db, idp, notify, retention, routes, web};

/// The largest JSON body, in bytes, where a body is not framed.
const MAX_JSON: usize = 64 << 20;

/// Starts logging to standard error; `RUST_LOG` chooses what.
pub fn log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.with_ansi(false).init();
    }
}

/// Runs the service until it is told to stop.
///
/// # Errors
/// One sentence: what is wrong and what was expected.
pub async fn run(config_file: &Path) -> Result<(), String> {
    let state = Data::new(prepare(config_file)?);
    let listen = state.config.service.listen.clone();
    let shared = state.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(
                JsonConfig::default()
                    .limit(MAX_JSON)
                    .error_handler(|error, _| {
                        AppError::bad_request(format!("The body: {error}")).into()
                    }),
            )
            .app_data(QueryConfig::default().error_handler(|error, request| {
                let error = AppError::bad_request(format!("The query: {error}"));
                web::refusal(error, request)
            }))
            .app_data(FormConfig::default().error_handler(|error, request| {
                let error = AppError::bad_request(format!("The form: {error}"));
                web::refusal(error, request)
            }))
            .app_data(
                PathConfig::default()
                    .error_handler(|_, request| web::refusal(AppError::not_found(), request)),
            )
            // Framed bodies are streamed; no limit of ours stands in a pack's way.
            .app_data(PayloadConfig::new(usize::MAX))
            .wrap(web::security_headers())
            .configure(routes::configure)
            .default_service(actix_web::web::to(|request: HttpRequest| async move {
                Err::<HttpResponse, _>(web::refusal(AppError::not_found(), &request))
            }))
    })
    .workers(
        std::thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(2, 8),
    )
    .keep_alive(Duration::from_secs(75))
    .client_request_timeout(Duration::from_secs(10))
    .shutdown_timeout(10)
    .bind(&listen)
    .map_err(|error| format!("cannot listen on {listen}: {error}"))?
    .run();
    tracing::info!(
        listen,
        policy = state.policy.hash(),
        rules = state.policy.rules.len(),
        "refwarden-service is ready"
    );
    notify::start(&state);
    ledger::start(&state);
    retention::start(&state);
    server.await.map_err(|error| error.to_string())
}

fn prepare(config_file: &Path) -> Result<AppState, String> {
    let shown = config_file.display();
    let text = std::fs::read_to_string(config_file).map_err(|error| format!("{shown}: {error}"))?;
    let mut config: Config =
        refwarden_config::parse(&shown.to_string(), &text).map_err(|error| error.to_string())?;
    if let Ok(url) = std::env::var("DATABASE_URL") {
        config.database.url = url;
        config.database.migrator_url = None;
    }
    if let Ok(url) = std::env::var("DATABASE_MIGRATOR_URL") {
        config.database.migrator_url = Some(url);
    }
    let config_dir = config_file.parent().map(PathBuf::from).unwrap_or_default();
    let policy = policy(&config, &config_dir)?;
    let http = identity::client().map_err(|error| format!("cannot set up TLS: {error}"))?;
    let tokens = Tokens::open(&config, &config_dir)?;
    let own = tokens.as_ref().map(Tokens::as_issuer).transpose()?;
    let issuers = Issuers::new(&config.issuers, own, &config_dir, http.clone())
        .map_err(|problem| format!("{shown}: {problem}"))?;
    let authorities =
        Authorities::open(&config).map_err(|problem| format!("{shown}: {problem}"))?;
    let idp = match &config.quick_start {
        None => None,
        Some(quick_start) => {
            let idp = idp::Idp::open(&config, quick_start, &config_dir);
            Some(idp.map_err(|problem| format!("{shown}: {problem}"))?)
        }
    };
    let database = &config.database;
    db::prepare(&database.url, database.migrator_url.as_deref())?;
    let pool = db::pool::open(&config.database.url, config.database.connections);
    let recipients = Recipients::open(&config.packs, &config_dir)
        .map_err(|problem| format!("{shown}: {problem}"))?;
    if recipients.is_empty() {
        tracing::warn!(
            "packs are kept in the clear, with every secret that was refused in them: name an \
             auditor's age recipient in [packs] (docs/auditing.md)"
        );
    }
    let pack_dir = config_dir.join(&config.service.pack_dir);
    let packs = PackStore::configured(&config.packs, &config_dir, pack_dir, recipients)
        .map_err(|problem| format!("{shown}: {problem}"))?;
    if let Some(place) = packs.elsewhere() {
        tracing::info!(place, "new packs go to a store");
    }
    let ledger = Ledger::open(&config, &config_dir)?;
    let notify = notify::Channels::open(&config, &config_dir)
        .map_err(|problem| format!("{shown}: {problem}"))?;
    let (changed, _) = tokio::sync::watch::channel(0);
    Ok(AppState {
        config,
        config_dir,
        pool,
        issuers,
        authorities,
        policy: Arc::new(policy),
        packs,
        http,
        changed,
        streams: Arc::default(),
        looking: Arc::default(),
        stopping: stopping()?,
        tokens,
        ledger,
        notify,
        idp,
    })
}

/// True once a signal to stop has come, which the server takes too: it waits for what is under way,
/// and a stream would be so for ever.
fn stopping() -> Result<tokio::sync::watch::Receiver<bool>, String> {
    let cannot = |error| format!("signals cannot be awaited: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    actix_web::rt::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
        // What waits for it does not wait in vain.
        std::future::pending::<()>().await;
    });
    Ok(stopping)
}

fn policy(config: &Config, directory: &Path) -> Result<Policy, String> {
    let mut files = Vec::new();
    for file in &config.policy.files {
        let path = directory.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("policy {}: {error}", path.display()))?;
        files.push((path.display().to_string(), text));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    // A file of owners is named from the directory of the policy file that names it.
    let read = |file: &str, name: &str| {
        let path = Path::new(file).parent().unwrap_or(directory).join(name);
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    };
    let policy = Policy::parse_with(&files, &read).map_err(|error| error.to_string())?;
    for warning in policy.warnings() {
        tracing::warn!("policy: {warning}");
    }
    Ok(policy)
}
