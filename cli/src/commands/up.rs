//! `refwarden up`.

mod lock;
pub mod report;

use std::process::{Child, ExitCode, ExitStatus};
use std::time::Duration;

use self::report::Report;
use crate::args::Up;
use crate::failure::{Failure, Outcome};
use crate::layout::{DataDir, make_dir};
use crate::output;
use crate::process::part::Started;
use crate::process::postgres::Postgres;
use crate::process::{Part, signals};
use crate::progress::note;
use crate::quickstart::{self, Choices};

/// Migrations may take a while.
const SERVICE_READY: Duration = Duration::from_mins(1);
const PROXY_READY: Duration = Duration::from_secs(20);

/// Starts everything, and stays unless told to return.
pub fn run(args: &Up) -> Outcome {
    let dir = prepare(&args.dir.data_dir)?;
    let lock = lock::take(&dir)?;
    let choices = Choices {
        port: args.port,
        proxy_port: args.proxy_port,
    };
    let mut children = start(&dir, choices, args)?;
    let report = Report::read(&dir)?;
    if args.json {
        output::json(&report)?;
    } else {
        report.print(args.detach)?;
    }
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let ended = signals::wait(|| children.ended())?;
    note(args.json, "Stopping …");
    let stopped = super::down::stop(&dir, || children.reap());
    drop(lock);
    note(args.json, &super::down::told(&dir, &stopped));
    let failed = ended.filter(|(_, status)| !status.success());
    let failed = failed.and_then(|(place, status)| Some((children.parts.get(place)?, status)));
    match failed {
        Some((part, status)) => Err(part.died(&format!("it ended with {status}"))),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Makes the directory where it is missing, and names it.
fn prepare(path: &std::path::Path) -> Outcome<DataDir> {
    // Others may pass through (Postgres does when root starts it) but not look around.
    make_dir(path, 0o711)?;
    let dir = DataDir::resolve(path)?;
    make_dir(&dir.join("run"), 0o711)?;
    make_dir(&dir.join("log"), 0o700)?;
    Ok(dir)
}

/// What was started here.
#[derive(Default)]
struct Children {
    postgres: Option<Child>,
    parts: Vec<Started>,
}

impl Children {
    /// Collects what has ended, so that it does not stay a zombie.
    fn reap(&mut self) {
        if let Some(postgres) = &mut self.postgres {
            let _ = postgres.try_wait();
        }
        for part in &mut self.parts {
            let _ = part.ended();
        }
    }

    /// Which part has ended first, by its place. Without Postgres the service says that it is not
    /// ready.
    fn ended(&mut self) -> Option<(usize, ExitStatus)> {
        let mut parts = self.parts.iter_mut().enumerate();
        parts.find_map(|(place, part)| Some((place, part.ended()?)))
    }
}

/// The server that `DATABASE_URL` names.
fn named_database() -> Option<String> {
    let url = std::env::var("DATABASE_URL").ok();
    url.filter(|url| !url.is_empty())
}

/// Whether the database is on a server of the data directory's own. A directory that began with one,
/// or with another server, stays with it.
fn is_private(dir: &DataDir) -> bool {
    named_database().is_none() && (!dir.config_file().exists() || Postgres::exists(dir))
}

fn start(dir: &DataDir, choices: Choices, args: &Up) -> Outcome<Children> {
    let quiet = args.json;
    let left = super::down::stop(dir, || {});
    if !left.is_empty() {
        let left = left.join(", ");
        note(
            quiet,
            &format!("Stopped what an earlier run left behind: {left}."),
        );
    }
    let mut children = Children::default();
    let every = args.reconcile_every;
    match start_parts(dir, choices, quiet, every, &mut children) {
        Ok(()) => Ok(children),
        Err(failure) => {
            super::down::stop(dir, || children.reap());
            Err(failure)
        }
    }
}

fn start_parts(
    dir: &DataDir,
    choices: Choices,
    quiet: bool,
    every: u64,
    children: &mut Children,
) -> Outcome<()> {
    let first = !dir.config_file().exists();
    let named = named_database();
    let private = is_private(dir);
    let mut url = named.clone().unwrap_or_default();
    let mut migrator_url = None;
    if private {
        let word = if Postgres::exists(dir) {
            "Starting"
        } else {
            "Making and starting"
        };
        note(quiet, &format!("{word} a private Postgres …"));
        let postgres = Postgres::new(dir)?;
        children.postgres = Some(postgres.start()?);
        url = postgres.app_url();
        migrator_url = Some(postgres.url());
    }
    if first {
        quickstart::generate(dir, choices, &url, migrator_url.as_deref())?;
    }
    let config = dir.config()?;
    check_ports(&config, choices)?;
    for (part, path, limit) in [
        (Part::Service, "readyz", SERVICE_READY),
        (Part::Proxy, "livez", PROXY_READY),
    ] {
        note(quiet, &format!("Starting the {} …", part.name()));
        let base = match part {
            Part::Proxy => report::proxy_url(&config)?,
            Part::Service | Part::Reconciler => &config.service.public_url,
        };
        let mut started = part.start(dir, every)?;
        let ready = started.wait_ready(&format!("{base}/{path}"), limit);
        children.parts.push(started);
        ready.map_err(|failure| match part {
            Part::Service if !private => with_database(failure, dir, first, named.is_some()),
            _ => failure,
        })?;
    }
    children.parts.push(Part::Reconciler.start(dir, every)?);
    Ok(())
}

/// Says which database it was that the service could not start with, and where it is named. One that
/// was never good is not kept: the next `up` begins from nothing.
fn with_database(failure: Failure, dir: &DataDir, first: bool, named: bool) -> Failure {
    let file = dir.config_file();
    if first && std::fs::remove_file(&file).is_ok() {
        return failure.next(
            "mend what the log names, then run refwarden up again with the right DATABASE_URL,\n\
             or without it for a private Postgres; this one was not written down",
        );
    }
    let source = if named {
        "DATABASE_URL in the environment".to_owned()
    } else {
        format!("[database] url in {}", file.display())
    };
    failure.next(format!(
        "mend what the log names, then run refwarden up again; the database is named by\n{source}"
    ))
}

/// Ports are chosen once. Saying another one later must not go unheard.
fn check_ports(config: &refwarden_config::Config, choices: Choices) -> Outcome<()> {
    let proxy = config.proxy.as_ref().map(|proxy| proxy.listen.as_str());
    for (listen, port) in [
        (Some(config.service.listen.as_str()), choices.port),
        (proxy, choices.proxy_port),
    ] {
        let differs = |listen: &str| !listen.ends_with(&format!(":{port}"));
        if port != 0 && listen.is_some_and(differs) {
            return Err(
                Failure::new(format!("port {port} is not what is configured"))
                    .why(format!(
                        "refwarden.toml says {}",
                        listen.unwrap_or("nothing")
                    ))
                    .next("leave the option out, or change refwarden.toml"),
            );
        }
    }
    Ok(())
}
