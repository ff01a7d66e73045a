//! `post-receive`: completes the record of a push and prints the receipt. The refs have moved;
//! nothing here can fail the push, and nothing depends on it having run: what it cannot report is
//! spooled, and where it never ran the reconciler reports it.

use refwarden_model::RefName;
use refwarden_wire::hook::{COMPLETE, CompleteIn, CompleteOut, Phase, SettleIn};

use crate::client::{CallError, Client};
use crate::correlation::Parent;
use crate::fault::Fault;
use crate::host::Host;
use crate::report;
use crate::spool::{IN_A_PUSH, Spool, observed};
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
    if !parent.is_receive_pack {
        // receive-pack was killed meanwhile: of this process's new parent nobody knows a push.
        return Err(Fault::hook("the hook does not run for git receive-pack"));
    }
    let names: Vec<RefName> = updates.into_iter().map(|update| update.name).collect();
    let seen = CompleteIn {
        repository: host.id,
        correlation: parent.correlation,
        refs: observed(&host, &names)?,
    };
    let told = Client::new(&host).and_then(|client| tell(&host, &client, &seen));
    if told.is_err() {
        let report = SettleIn {
            repository: seen.repository,
            correlation: seen.correlation,
            phase: Phase::Committed,
            observed_at: chrono::Utc::now().timestamp_micros(),
            refs: seen.refs,
        };
        Spool::of(&host).report(None, &report)?;
    }
    let done = told?;
    report::note(&format!("refwarden: recorded as push {}", done.push_id));
    Ok(())
}

fn tell(host: &Host, client: &Client, seen: &CompleteIn) -> Result<CompleteOut, Fault> {
    // Older reports first: the receipt counts what they say.
    Spool::of(host).drain(client, IN_A_PUSH)?;
    client.call(COMPLETE, seen).map_err(CallError::into)
}
