//! `post-receive`: completes the record of a push and prints the receipt. The refs have moved;
//! nothing here can fail the push, and nothing depends on it having run.

use refwarden_gitio::Refs;
use refwarden_model::RefName;
use refwarden_wire::hook::{COMPLETE, CompleteIn, CompleteOut, Observed};

use crate::client::Client;
use crate::correlation::Parent;
use crate::fault::Fault;
use crate::host::Host;
use crate::report;
use crate::spool::Spool;
use crate::updates;

/// Runs the hook.
pub fn run() {
    if complete().is_err() {
        report::note("warning: the record of this push could not be completed just now;");
        report::note("warning: the refs have moved, and the record follows");
    }
}

fn complete() -> Result<(), Fault> {
    let host = Host::open()?;
    let updates = updates::read(std::io::stdin().lock(), host.repository.object_format)?;
    let parent = Parent::of_this_process()?;
    let client = Client::new(&host)?;
    // Older reports first: the receipt counts what they say.
    Spool::of(&host).drain(&client)?;
    let names: Vec<RefName> = updates.into_iter().map(|update| update.name).collect();
    let resolved = Refs::new(&host.repository).resolve(&names)?;
    let refs = resolved
        .into_iter()
        .map(|resolved| Observed {
            target: resolved.target,
            value: resolved.value,
        })
        .collect();
    let done: CompleteOut = client.call(
        COMPLETE,
        &CompleteIn {
            repository: host.id,
            correlation: parent.correlation,
            refs,
        },
    )?;
    report::note(&format!("refwarden: recorded as push {}", done.push_id));
    Ok(())
}
