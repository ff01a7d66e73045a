//! The hooks that git runs for a guarded repository: `pre-receive`, `reference-transaction`,
//! `post-receive` (githooks(5)).
//!
//! They learn facts, send them to the approval service, and do what it says. Whatever goes wrong
//! refuses the push in plain words. They write nothing to a repository; the one file they write
//! is the host's spool. The binaries call the functions here and nothing else.
//!
//! [`shell`] is what sshd runs for those who come over SSH. It starts git, which runs the hooks.
//!
//! [`fetch`] is what `upload-pack` runs for the pack of a fetch, and what reports it.
//!
//! [`masked`] is what the proxy and the shell run in place of git for pushes from masked clones.
//!
//! [`reconcile`] is no hook: it is what `refwarden reconcile` and `refwarden doctor` run on the
//! host of the hooks, with the same client, credential and spool.
//!
//! [`updates`] is open so that `fuzz` can feed it.

mod client;
mod correlation;
mod environment;
mod facts;
mod fault;
pub mod fetch;
mod gained;
mod holding;
mod host;
mod incoming;
mod known;
mod masked;
mod moved;
mod options;
mod patch_id;
mod placeholders;
mod post_receive;
mod pre_receive;
pub mod reconcile;
mod reference_transaction;
mod report;
mod rules;
mod scanning;
mod shell;
mod signing;
mod spool;
mod through;
pub mod updates;

use std::process::ExitCode;

use fault::Fault;

/// Runs `pre-receive`.
pub fn pre_receive() -> ExitCode {
    run("pre-receive", pre_receive::run)
}

/// Runs `reference-transaction`.
pub fn reference_transaction() -> ExitCode {
    run("reference-transaction", reference_transaction::run)
}

/// Runs `post-receive`.
pub fn post_receive() -> ExitCode {
    run("post-receive", || {
        post_receive::run();
        Ok(())
    })
}

/// Runs the login shell.
pub fn shell() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--help") {
        println!("{}", shell::HELP);
        return ExitCode::SUCCESS;
    }
    run("shell", shell::run)
}

/// Makes the pack of a fetch, or sends what is on record of fetches.
pub fn pack_objects() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|argument| argument == "--send")
    {
        let Some(spool) = arguments.next() else {
            return ExitCode::FAILURE;
        };
        // Not of the group that ends with the connection, and behind all who serve.
        let _ = rustix::process::setsid();
        let _ = rustix::process::nice(NICE);
        std::thread::sleep(AFTERWARDS);
        return match fetch::send(std::path::Path::new(&spool)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    run("pack-objects", fetch::record)
}

/// How long a fetch is over before it is looked at: the client has its pack to unpack first, and of
/// several fetches at once one process tells.
const AFTERWARDS: std::time::Duration = std::time::Duration::from_millis(250);

/// How far what is done after a fetch stands back.
const NICE: i32 = 15;

/// Takes a push from a masked clone.
pub fn masked_receive() -> ExitCode {
    run("receive", masked::run)
}

fn run(name: &str, hook: fn() -> Result<(), Fault>) -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("refwarden {name} {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    // A panic's own message may quote what was being read, so it is not shown.
    std::panic::set_hook(Box::new(|_| {}));
    let ended = std::panic::catch_unwind(hook);
    match ended.unwrap_or_else(|_| Err(Fault::hook("the hook stopped at a defect of its own"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            report::fault(&fault);
            ExitCode::FAILURE
        }
    }
}
