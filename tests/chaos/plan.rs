//! What a trial does: a push, and what is done to it at which moment. Made from the seed and the
//! trial's number alone, so that one trial can be run again by itself.

use std::time::Duration;

use crate::dice::Dice;

/// What is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// A branch that did not exist.
    Create,
    /// A branch is moved ahead.
    FastForward,
    /// A branch is rewritten.
    Force,
    /// A branch is deleted.
    Delete,
    /// Four branches: one each of the above.
    Several,
    /// The same, all or nothing.
    Atomic,
    /// `main`, with an approval that it consumes.
    Approved,
}

/// Who is killed, with SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// `git receive-pack` alone; a hook that it runs goes on.
    ReceivePack,
    /// `git receive-pack` and everything below it.
    ReceivePackTree,
    /// The hook that runs.
    Hook,
    /// The pusher's git.
    Client,
    /// The approval service.
    Service,
    /// The proxy.
    Proxy,
    /// A server process of Postgres, with whom Postgres ends all others.
    Backend,
    /// The postmaster.
    Postmaster,
    /// `refwarden reconcile`, while it settles what the push left.
    Reconciler,
}

/// A transaction of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transaction {
    /// Records a push and its verdict.
    Receive,
    /// Consumes what it was granted and marks its moves.
    Prepare,
    /// Settles the moves and completes the record.
    Complete,
}

/// When it happens.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// So long after the push began.
    After(Duration),
    /// So long after a process of this name, with this first argument, was seen.
    Seen(&'static str, &'static str, Duration),
    /// So long after a ref's lock was seen.
    Locked(Duration),
    /// Before a transaction is committed.
    Committing(Transaction),
    /// After it was committed, before the service is told.
    Committed(Transaction),
    /// So long after the reconciler began.
    Reconciling(Duration),
}

/// What happens to the way between service and database, or to the database, without anybody
/// being killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Connections are closed, new ones refused.
    Refused,
    /// Connections are reset, new ones too.
    Reset,
    /// Nothing is answered, not even that somebody connects.
    Blackhole,
    /// The cable to the network of the database is pulled out.
    Unplugged,
    /// Connections are accepted, and nothing is answered.
    Hang,
    /// A transaction is committed and its answer lost.
    Lost(Transaction),
    /// Every process of Postgres stands still.
    Stopped,
    /// A disk has no room for another byte.
    Full(Disk),
}

impl Fault {
    /// Whether it takes file systems or networks of one's own.
    pub const fn is_apart(self) -> bool {
        matches!(self, Self::Unplugged | Self::Full(_))
    }

    /// Whether it goes on until it is mended.
    pub const fn is_lasting(self) -> bool {
        !matches!(self, Self::Lost(_))
    }
}

/// What is on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disk {
    /// The directory of Postgres: tables cannot grow.
    Database,
    /// The same, and its log is at the end of its last segment: Postgres ends.
    Log,
    /// The packs that the service keeps.
    Packs,
    /// What hooks could not report. The database refuses, or there would be nothing to keep.
    Spool,
    /// The repositories.
    Repository,
    /// Temporary files of hooks, service and proxy.
    Temporary,
}

impl Disk {
    /// Of two that are one, the one.
    pub const fn mounted(self) -> Self {
        match self {
            Self::Log => Self::Database,
            other => other,
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// A process is killed.
    Kill(Victim, Moment),
    /// Something does not answer, from before the push or from a moment in it.
    Fault(Fault, Option<Moment>),
}

/// One trial.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What is pushed.
    pub push: Push,
    /// Through the proxy rather than by its path.
    pub by_http: bool,
    /// What happens.
    pub blow: Blow,
    /// After a fault, connections that were silent go on rather than being reset.
    pub resumes: bool,
    /// Which backend is killed.
    pub which: u64,
    /// While a fault lasts, others read through a masked view, and not a repository itself: every
    /// second trial. It takes a Refwarden with another policy.
    pub masked: bool,
}

/// Which trials there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Both.
    All,
    /// Kills only.
    Kills,
    /// Faults only.
    Faults,
    /// Full disks only.
    Disks,
}

impl Plan {
    /// The fault, where it is one.
    pub const fn fault(&self) -> Option<Fault> {
        match self.blow {
            Blow::Fault(fault, _) => Some(fault),
            Blow::Kill(..) => None,
        }
    }

    /// The plan of a trial.
    pub fn of(seed: u64, trial: u64, share: Share) -> Self {
        let dice = &mut Dice::of(seed, trial);
        let push = dice.pick(&[
            (3, Push::Create),
            (4, Push::FastForward),
            (3, Push::Force),
            (4, Push::Delete),
            (4, Push::Several),
            (3, Push::Atomic),
            (4, Push::Approved),
        ]);
        let by_http = dice.below(4) == 0;
        let is_fault = match share {
            Share::All => dice.below(12) == 0,
            Share::Kills => false,
            Share::Faults | Share::Disks => true,
        };
        let blow = if is_fault {
            fault(dice, share)
        } else {
            kill(dice)
        };
        let lasts = matches!(blow, Blow::Fault(fault, _) if fault.is_lasting());
        Self {
            masked: lasts && trial % 2 == 1,
            push,
            by_http: by_http || matches!(blow, Blow::Kill(Victim::Proxy, _)),
            blow,
            resumes: dice.below(2) == 0,
            which: dice.below(1 << 16),
        }
    }
}

fn kill(dice: &mut Dice) -> Blow {
    let victim = dice.pick(&[
        (26, Victim::ReceivePack),
        (26, Victim::ReceivePackTree),
        (20, Victim::Hook),
        (6, Victim::Client),
        (16, Victim::Service),
        (3, Victim::Proxy),
        (4, Victim::Backend),
        (2, Victim::Postmaster),
        (3, Victim::Reconciler),
    ]);
    let moment = match victim {
        Victim::Reconciler => Moment::Reconciling(millis(dice, 60)),
        Victim::Hook => hook(dice),
        Victim::Service | Victim::Backend | Victim::Postmaster if dice.below(8) == 0 => {
            Moment::Reconciling(millis(dice, 60))
        }
        _ => moment(dice),
    };
    Blow::Kill(victim, moment)
}

fn fault(dice: &mut Dice, share: Share) -> Blow {
    let disk = dice.pick(&[
        (2, Disk::Database),
        (1, Disk::Log),
        (1, Disk::Packs),
        (1, Disk::Spool),
        (2, Disk::Repository),
        (1, Disk::Temporary),
    ]);
    let lost = Fault::Lost(transaction(dice));
    let any = dice.pick(&[
        (1, Fault::Refused),
        (1, Fault::Reset),
        (1, Fault::Blackhole),
        (1, Fault::Unplugged),
        (1, Fault::Hang),
        (1, Fault::Stopped),
        (4, lost),
        (4, Fault::Full(disk)),
    ]);
    let fault = if share == Share::Disks {
        Fault::Full(disk)
    } else {
        any
    };
    let moment = match fault {
        Fault::Lost(transaction) => Some(Moment::Committed(transaction)),
        _ => (dice.below(3) > 0).then(|| moment(dice)),
    };
    Blow::Fault(fault, moment)
}

fn millis(dice: &mut Dice, bound: u64) -> Duration {
    Duration::from_micros(dice.below(bound * 1000))
}

fn transaction(dice: &mut Dice) -> Transaction {
    dice.pick(&[
        (1, Transaction::Receive),
        (2, Transaction::Prepare),
        (1, Transaction::Complete),
    ])
}

fn hook(dice: &mut Dice) -> Moment {
    let (name, argument) = dice.pick(&[
        (3, ("pre-receive", "")),
        (4, ("reference-transaction", "prepared")),
        (2, ("reference-transaction", "committed")),
        (1, ("reference-transaction", "aborted")),
        (2, ("post-receive", "")),
    ]);
    Moment::Seen(name, argument, millis(dice, 12))
}

fn moment(dice: &mut Dice) -> Moment {
    match dice.below(10) {
        0 | 1 => Moment::After(millis(dice, 160)),
        2 => Moment::Seen("receive-pack", "", millis(dice, 8)),
        3 => Moment::Locked(millis(dice, 20)),
        4 | 5 => Moment::Committing(transaction(dice)),
        6 | 7 => Moment::Committed(transaction(dice)),
        _ => hook(dice),
    }
}
