//! Serves somebody who reads a masked view: fetches from the shadow by stock `git upload-pack`,
//! pushes by `refwarden-receive`, as the proxy does.
//!
//! Nothing that git or a program of ours says on standard error reaches the client: it may name
//! what the view does not have. It goes to the system's log.

use std::io::Read as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use refwarden_gitio::served::Served;
use refwarden_gitio::{Git, shadow};
use refwarden_model::Code;
use refwarden_view::serving::{Found, Shadow, Views};
use refwarden_wire::fetch::Errand;
use refwarden_wire::hook::{MaskedView, Operation};

use super::listen::Serving;
use super::syslog;
use crate::fault::Fault;
use crate::host::Host;

/// Bytes of standard error that are logged; the rest is read and thrown away.
const LOGGED: u64 = 2048;

/// How often it is looked whether somebody else has made the view.
const LOOK: Duration = Duration::from_millis(20);

/// Serves the session to its end.
pub fn serve(
    host: &Host,
    served: &Served,
    view: &MaskedView,
    operation: Operation,
    introduce: &dyn Fn(&mut Command),
    mut errand: Errand,
) -> Result<(), Fault> {
    let section = host.config.views.as_ref().ok_or_else(not_here)?;
    let programs = std::env::current_exe().map_err(|error| not_ready(&error))?;
    let programs = programs.parent().unwrap_or(std::path::Path::new("/"));
    let views = Views::new(section, &|path| path.to_owned(), programs);
    let views = views.map_err(|error| not_ready(&error))?;
    let shadow = open(&views, view, served)?;
    // Until git has ended, even where this process is killed before.
    shadow.open.lend().map_err(|error| not_ready(&error))?;
    match operation {
        Operation::Fetch => {
            let pack = shadow::upload_pack(&shadow.directory);
            let mut command = git(pack, &shadow, introduce);
            errand.session.view = Some(shadow.served());
            super::record(&mut command, &errand)?;
            command.stderr(Stdio::piped());
            let git = Serving::start(&mut command);
            let mut git = git.map_err(|error| not_started(&command, &error))?;
            keep(&mut git.child);
            super::ended(git.end())
        }
        Operation::Push => {
            let refs = shadow::advertise_to_pushers(&shadow.directory);
            run(git(refs, &shadow, introduce))?;
            let mut receiver = views.receiver(view, &served.directory, &shadow);
            introduce(&mut receiver);
            run(receiver)
        }
    }
}

fn git(git: Git, shadow: &Shadow, introduce: &dyn Fn(&mut Command)) -> Command {
    let mut command = git.arg(".").into_command();
    command.current_dir(&shadow.directory);
    introduce(&mut command);
    command
}

/// The shadow as the repository is now, made where it is not there.
fn open(views: &Views, view: &MaskedView, served: &Served) -> Result<Shadow, Fault> {
    let deadline = Instant::now() + views.wait();
    let look = |fresh| {
        let found = views.look(view, &served.directory, fresh);
        found.map_err(|error| not_ready(&error))
    };
    let Found { place, shadow } = look(true)?;
    if let Some(shadow) = shadow {
        return Ok(shadow);
    }
    // Whoever waits for the same view starts no program to wait with.
    while place.is_being_made() {
        if Instant::now() >= deadline {
            return Err(building());
        }
        std::thread::sleep(LOOK);
    }
    if let Some(shadow) = look(true)?.shadow {
        return Ok(shadow);
    }
    let output = refresh(views.refresher(view, &served.directory), deadline)?;
    let succeeded = output.status.success();
    if !succeeded {
        let said = output.stderr.get(..2048).unwrap_or(&output.stderr);
        let said = refwarden_model::bytes::escape(said);
        let directory = served.directory.display();
        syslog::error(&format!(
            "a masked view of {directory} was not made: {said}"
        ));
    }
    // It began after this session, so it has seen every push that ended before. Where pushes
    // never cease, none is up to date for long.
    look(!succeeded)?.shadow.ok_or_else(building)
}

/// Makes the view. Where that takes too long it goes on without anybody who waits.
fn refresh(mut command: Command, deadline: Instant) -> Result<Output, Fault> {
    use std::os::unix::process::CommandExt as _;
    // It outlives the session, so that the next one finds what this one waited for.
    let child = command.process_group(0).spawn();
    let child = child.map_err(|error| not_ready(&error))?;
    let (end, ended) = mpsc::channel();
    std::thread::spawn(move || end.send(child.wait_with_output()));
    let left = deadline.saturating_duration_since(Instant::now());
    match ended.recv_timeout(left) {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(not_ready(&error)),
        Err(_) => Err(building()),
    }
}

/// Runs a program that speaks to the client, and keeps what it says on standard error.
fn run(mut command: Command) -> Result<(), Fault> {
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
    command.stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.map_err(|error| not_started(&command, &error))?;
    keep(&mut child);
    super::ended(child.wait())
}

fn not_started(command: &Command, error: &std::io::Error) -> Fault {
    syslog::error(&format!("{}: {error}", command.get_program().display()));
    Fault::hook("git cannot be started")
}

fn keep(child: &mut Child) {
    let Some(mut stderr) = child.stderr.take() else {
        return;
    };
    let mut said = Vec::new();
    let _ = (&mut stderr).take(LOGGED).read_to_end(&mut said);
    if !said.is_empty() {
        syslog::error(&shadow::presentable(&said));
    }
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
}

fn not_here() -> Fault {
    let text = "you read a masked view of this repository, which is not served over SSH";
    Fault::new(Code::ViewNotHere, text).hint("use its HTTP URL")
}

fn not_ready(error: &dyn std::fmt::Display) -> Fault {
    syslog::error(&format!("a masked view cannot be served: {error}"));
    building()
}

fn building() -> Fault {
    let text = "the masked view that you read is being built or cannot be built";
    let hint = "try again in a minute; if it persists, tell an administrator";
    Fault::new(Code::ViewNotReady, text).hint(hint)
}
