//! Others who push and read while a fault lasts. Pushes are refused in time and in plain words, or,
//! where a disk is full that they do not need, pass; reads go on.

use std::time::Duration;

use refwarden_testkit::Outcome;

use crate::ground::{Ground, Ready};
use crate::masked::Way;
use crate::parts::Parts;
use crate::plan::{Disk, Fault};
use crate::trial::Told;

/// I5: the most that a refusal may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The most that a read may take that goes on: three questions to the service over HTTP, each of which
/// waits for four seconds, and git.
const READ: Duration = Duration::from_secs(20);

/// How many pushes are tried on a full disk: one may find room in a page that has some.
const PUSHES: usize = 4;

/// What a refusal in plain words has no word of.
const OBSCURE: [&str; 6] = [
    "panicked",
    "backtrace",
    "BACKTRACE",
    "crates/",
    "reqwest",
    "diesel",
];

/// Their tokens, made before: there may be none while it lasts.
pub struct Others {
    fault: Fault,
    pushers: Vec<String>,
    reader: String,
}

impl Others {
    /// Gets ready for a fault. The reader is known to the proxy, and to the login shell where it comes
    /// through that.
    pub fn new(parts: &Parts, ground: &Ground<'_>, fault: Fault) -> Self {
        let pushes = if let Fault::Full(_) = fault {
            PUSHES
        } else {
            1
        };
        let reader = parts.stack.token("ada");
        match &parts.masked {
            None => drop(ground.read(&reader).passes()),
            Some(masked) => {
                for way in Way::ALL {
                    let (read, problem) = masked.read(&parts.stack, &reader, way);
                    read.passes();
                    assert_eq!(problem, None);
                }
            }
        }
        Self {
            fault,
            pushers: (0..pushes).map(|_| parts.stack.token("ada")).collect(),
            reader,
        }
    }

    /// Pushes and reads.
    pub fn come(&self, parts: &Parts, ground: &Ground<'_>, ready: &Ready, told: &mut Told) {
        self.push(ground, ready, told);
        let Some(masked) = &parts.masked else {
            self.judge(&ground.read(&self.reader), told);
            return;
        };
        for way in Way::ALL {
            let (read, problem) = masked.read(&parts.stack, &self.reader, way);
            self.judge(&read, told);
            told.masked_reads += u64::from(read.ok());
            told.violations.extend(problem);
        }
    }

    fn push(&self, ground: &Ground<'_>, ready: &Ready, told: &mut Told) {
        for (number, token) in self.pushers.iter().enumerate() {
            let arguments = if number == 0 {
                ready.next.clone()
            } else {
                vec![ready.beside(number)]
            };
            let before = ground.refs();
            let pushed = ground.push(token, false, &arguments);
            if pushed.ok() && matches!(self.fault, Fault::Full(_)) {
                continue;
            }
            told.refused += 1;
            if !self.is_plain(&pushed) {
                told.violations
                    .push(format!("a push while it lasts: {pushed}"));
            }
            if ground.refs() != before {
                told.violations
                    .push(format!("a ref has moved while it lasts: {pushed}"));
            }
        }
    }

    /// Reads go on.
    fn judge(&self, read: &Outcome, told: &mut Told) {
        // Nothing is sent that cannot be noted in the spool (decision 0019).
        let is_unrecorded =
            self.fault == Fault::Full(Disk::Spool) && read.said().contains("error: RW507");
        if (!read.ok() && !is_unrecorded) || read.took > READ {
            told.violations
                .push(format!("a read while it lasts: {read}"));
        }
    }

    fn is_plain(&self, pushed: &Outcome) -> bool {
        let said = pushed.said();
        // Without room for objects or refs git refuses by itself.
        let by_git = self.fault == Fault::Full(Disk::Repository)
            && (said.contains("No space left on device") || said.contains("[remote rejected]"));
        pushed.code == Some(1)
            && pushed.took <= PATIENCE
            && (said.contains("error: RW5") || by_git)
            && !is_obscure(&said)
    }
}

/// Whether something is said that is meant for those who made the programs.
pub fn is_obscure(said: &str) -> bool {
    OBSCURE.iter().any(|word| said.contains(word))
}
