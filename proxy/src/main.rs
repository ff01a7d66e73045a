//! The smart HTTP proxy: real git clients on one side, bare repositories under guard on the
//! other.
//!
//! It asks the approval service about every request before it starts git, serves the *view* of
//! the repository that the service chose for the actor, and streams both ways. It judges
//! nothing itself and writes nothing; shadows of masked views are made by `refwarden view`.

mod authority;
mod body;
mod cache;
mod credential;
mod discovery;
mod failed;
mod framing;
mod git;
mod inflate;
mod process;
mod refusal;
mod route;
mod serve;
mod told;
mod view;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, Resource, Route, web};
use clap::Parser;
use refwarden_config::Config;
use secrecy::SecretString;

use crate::authority::Authority;
use crate::refusal::Refusal;
use crate::serve::Proxy;
use crate::view::Views;
use refwarden_gitio::command::for_shell;
use refwarden_gitio::served::Root;
use refwarden_wire::fetch::PROGRAM;

/// Smart HTTP in front of the bare repositories that Refwarden guards.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file, refwarden.toml, with a section [proxy].
    #[arg(long)]
    config: PathBuf,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("REFWARDEN_LOG")
                .unwrap_or_else(|_| "info".into()),
        )
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    match run(&arguments.config) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("refwarden-proxy cannot run: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(file: &Path) -> Result<(), Box<dyn Error>> {
    let (proxy, listen) = prepare(file)?;
    let proxy = web::Data::new(proxy);
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::clone(&proxy))
                .service(read_only("/livez", web::get().to(livez)))
                .service(read_only(discovery::PATH, web::get().to(discovery::handle)))
                .default_service(web::to(serve::handle))
        })
        // Time for the request's head; the body has its own (`body::PAUSE`).
        .client_request_timeout(Duration::from_secs(10))
        .keep_alive(Duration::from_secs(75))
        // A client that closes its side has gone: git clients never close half.
        .h1_allow_half_closed(false)
        .h1_write_buffer_size(256 << 10)
        .tcp_nodelay(true)
        .shutdown_timeout(30)
        .bind(&listen)
        .map_err(|error| std::io::Error::other(format!("cannot listen on {listen}: {error}")))?;
        tracing::info!(addresses = ?server.addrs(), "listening");
        server.run().await
    })?;
    Ok(())
}

/// A path that is served with GET only.
fn read_only(path: &str, route: Route) -> Resource {
    let refused = || async { Refusal::WrongMethod("GET").response() };
    web::resource(path)
        .route(route)
        .default_service(web::to(refused))
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

fn prepare(file: &Path) -> Result<(Proxy, String), Box<dyn Error>> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let config: Config = refwarden_config::parse(&file.display().to_string(), &text)?;
    let section = config
        .proxy
        .ok_or("the configuration has no section [proxy]")?;
    let beside = |path: &Path| file.parent().unwrap_or(Path::new(".")).join(path);
    let credential = beside(&section.credential_file);
    let credential = std::fs::read_to_string(&credential)
        .map_err(|error| format!("{} cannot be read: {error}", credential.display()))?;
    let credential = SecretString::from(credential.trim().to_owned());
    let repositories = beside(&section.repositories);
    let root = Root::new(&repositories)
        .map_err(|error| format!("{} cannot be used: {error}", repositories.display()))?;
    let authority = Authority::new(&section.service_url, credential, section.anonymous_reads)?;
    let service = discovery::Service::new(&section.service_url)?;
    let recorder = std::env::current_exe()?.with_file_name(PROGRAM);
    let recorder = for_shell(&recorder).ok_or("the programs' path is no text")?;
    let views = section.views.as_ref().map(|it| Views::new(it, &beside));
    let proxy = Proxy {
        root,
        authority,
        service,
        views: views.transpose()?.map(Arc::new),
        recorder,
        told: told::Told::default(),
    };
    Ok((proxy, section.listen))
}
