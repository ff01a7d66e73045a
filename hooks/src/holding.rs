//! Holds a push while people decide (`git push -o wait=10m`).
//!
//! The service releases a held push only in answer to this hook's own question, so a hook that
//! has died releases nothing. Git does not tell a hook that the client has gone, so this one
//! looks for itself; see [`Watch`].

use std::time::{Duration, Instant};

use refwarden_model::Code;
use refwarden_wire::hook::{
    CANCEL, CancelIn, GivenUp, Outcome, PushOut, WAIT, WAIT_SECONDS_MAX, WaitIn, WaitOut,
};

use crate::client::Client;
use crate::correlation::Parent;
use crate::fault::Fault;
use crate::host::Host;
use crate::report;

/// Watches receive-pack, and through it the client.
///
/// While a hook runs, receive-pack has a thread that carries the hook's words to the client, and
/// sends something every `receive.keepAlive` seconds (git-config(1); `refwarden install` sets
/// 5). When the client has gone, writing fails and that thread ends, while receive-pack itself
/// goes on waiting for the hook, and would move the refs. Tried with git 2.39 and 2.47, local
/// path and SSH. Over HTTP the proxy stops receive-pack.
pub struct Watch {
    pid: u32,
}

impl Watch {
    /// Starts to watch. None where there is no such thread: a client without side band cannot
    /// be told anything either.
    pub fn start(parent: &Parent) -> Option<Self> {
        let pid = parent.correlation.pid;
        carries(pid).then_some(Self { pid })
    }

    /// Whether receive-pack still runs this hook, and its client listens.
    pub fn is_there(&self) -> bool {
        let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
        let is_parent = parent.is_some_and(|pid| u32::try_from(pid.get()) == Ok(self.pid));
        is_parent && carries(self.pid)
    }
}

/// Whether a process has another thread than its first.
fn carries(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    threads.is_ok_and(|threads| threads.count() > 1)
}

/// A push that is held.
pub struct Held<'a> {
    /// The repository.
    pub host: &'a Host,
    /// receive-pack.
    pub parent: &'a Parent,
    /// The service.
    pub client: &'a Client,
    /// How long at most.
    pub limit: Duration,
}

impl Held<'_> {
    /// Waits until people have decided, the time is over or the client has gone, and returns
    /// the last word. `answer` is what the service said first: that people have to approve.
    pub fn wait(&self, watch: &Watch, answer: PushOut) -> Result<PushOut, Fault> {
        let deadline = Instant::now() + self.limit;
        self.announce(&answer);
        let mut standing = Vec::new();
        loop {
            if !watch.is_there() {
                return Err(self.give_up(GivenUp::ClientGone));
            }
            let left = deadline.saturating_duration_since(Instant::now()).as_secs();
            if left == 0 {
                self.give_up(GivenUp::TimeOver);
                report::note("refwarden: nobody has decided in time");
                return Ok(answer);
            }
            let asked = WaitIn {
                repository: self.host.id,
                correlation: self.parent.correlation.clone(),
                standing: standing.clone(),
                seconds: left.min(WAIT_SECONDS_MAX),
            };
            let out: WaitOut = self.client.call(WAIT, &asked)?;
            for line in &out.standing {
                if !standing.contains(line) {
                    report::note(&format!("refwarden: {line}"));
                }
            }
            match out.outcome {
                Outcome::Waiting => standing = out.standing,
                Outcome::Released if !watch.is_there() => {
                    return Err(self.give_up(GivenUp::ClientGone));
                }
                outcome => {
                    return Ok(PushOut {
                        findings: None,
                        outcome,
                        reasons: out.reasons,
                        ..answer
                    });
                }
            }
        }
    }

    fn announce(&self, answer: &PushOut) {
        for reason in &answer.reasons {
            report::note(&format!("refwarden: {}", reason.text));
            if let Some(request) = &reason.request {
                report::note(&format!("refwarden: {}", request.url));
            }
        }
        let limit = report::duration(self.limit.as_secs());
        report::note(&format!("refwarden: waiting at most {limit} for people"));
    }

    /// Tells the service that this push is over. If that does not arrive, nothing is lost: only
    /// this hook could have had the push released.
    fn give_up(&self, why: GivenUp) -> Fault {
        let asked = CancelIn {
            repository: self.host.id,
            correlation: self.parent.correlation.clone(),
            why,
        };
        let _ = self.client.tell(CANCEL, &asked);
        Fault::new(Code::NeedsApproval, "the client went away while it waited")
    }
}
