//! One trial: a push, a blow at its moment, recovery, and a look at what is left.

use std::os::unix::process::CommandExt as _;
use std::process::{Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use refwarden_testkit::Outcome;
use rustix::process::Signal;

use crate::check::Ledger;
use crate::ground::{Ground, Ready};
use crate::others::{Others, PATIENCE, is_obscure};
use crate::parts::Parts;
use crate::plan::{Blow, Disk, Fault, Moment, Plan, Victim};
use crate::processes::{self, Process, below, signal, wait};
use crate::relay::{Mode, Trap};
use crate::step::{HOOKS, Step};

/// After which a push is taken to hang.
const HANGS: Duration = Duration::from_secs(30);

/// Between two looks at the processes of a push.
const LOOK: Duration = Duration::from_micros(300);

/// What came of a trial.
#[derive(Default)]
pub struct Told {
    /// In which step it struck; none when the push had ended before.
    pub step: Option<Step>,
    /// Whether the push passed.
    pub passed: bool,
    /// How many others were refused while it lasted.
    pub refused: u64,
    /// How many clones of a masked view were made while it lasted.
    pub masked_reads: u64,
    /// What does not hold.
    pub violations: Vec<String>,
    /// How long the push took.
    pub took: Duration,
}

/// Makes a trial.
pub fn run(parts: &Parts, ground: &Ground<'_>, plan: &Plan, number: u64) -> Told {
    let ready = ground.ready(number, plan.push);
    let mut told = Told::default();
    let lasting = plan.fault().filter(|fault| fault.is_lasting());
    let others = lasting.map(|fault| Others::new(parts, ground, fault));
    let token = parts.stack.token("ada");
    strike(parts, ground, plan, &ready, &token, &mut told);
    if let Some(others) = others.filter(|_| told.step.is_some()) {
        others.come(parts, ground, &ready, &mut told);
    }
    recover(parts, ground, plan, &mut told);
    if told.violations.is_empty() {
        settle(parts, ground, plan, &mut told);
    }
    if told.violations.is_empty() {
        afterwards(parts, ground, &ready, &mut told);
    }
    told
}

/// A push that runs.
struct Running {
    pid: u32,
    begun: Instant,
    ended: JoinHandle<(Output, Duration)>,
}

impl Running {
    fn start(ground: &Ground<'_>, plan: &Plan, ready: &Ready, token: &str) -> Self {
        let mut command = ground.command(token, plan.by_http, &ready.arguments);
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let child = command.spawn().unwrap();
        let pid = child.id();
        let ended = std::thread::spawn(move || {
            let output = child.wait_with_output().unwrap();
            (output, begun.elapsed())
        });
        Self { pid, begun, ended }
    }
}

/// Pushes, and strikes when the moment has come.
fn strike(
    parts: &Parts,
    ground: &Ground<'_>,
    plan: &Plan,
    ready: &Ready,
    token: &str,
    told: &mut Told,
) {
    let (moment, mut struck_at) = match plan.blow {
        Blow::Kill(_, moment) => (Some(moment), None),
        Blow::Fault(fault, moment) => {
            if moment.is_none() {
                fail(parts, fault);
                told.step = Some(Step::Connecting);
            }
            (moment, moment.is_none().then(Instant::now))
        }
    };
    let trap = match moment {
        Some(Moment::Committing(transaction)) => Some(parts.relay.trap(transaction, false)),
        Some(Moment::Committed(transaction)) => Some(parts.relay.trap(transaction, true)),
        _ => None,
    };
    let running = Running::start(ground, plan, ready, token);
    let roots = if plan.by_http {
        vec![parts.pid("proxy"), running.pid]
    } else {
        vec![running.pid]
    };
    if let Some(moment) = moment.filter(|it| !matches!(it, Moment::Reconciling(_))) {
        let come = come(&running, &roots, ground, moment, trap.as_deref());
        if let Some((step, processes)) = come {
            let struck = match plan.blow {
                Blow::Kill(victim, _) => kill(parts, victim, &running, &processes, plan.which),
                Blow::Fault(fault, _) => {
                    fail(parts, fault);
                    true
                }
            };
            if struck {
                told.step = Some(step);
                struck_at = Some(Instant::now());
            }
        }
    }
    if let Some(trap) = trap {
        let is_lost = matches!(plan.blow, Blow::Fault(Fault::Lost(_), _));
        trap.release(!is_lost);
    }
    end(running, plan, ready, ground, struck_at, told);
}

/// Waits for the end of a push.
fn end(
    running: Running,
    plan: &Plan,
    ready: &Ready,
    ground: &Ground<'_>,
    struck_at: Option<Instant>,
    told: &mut Told,
) {
    if !wait(HANGS, || running.ended.is_finished()) {
        told.violations
            .push(format!("the push still runs after {HANGS:?}"));
        let _ = signal(running.pid, Signal::KILL);
        return;
    }
    let (output, took) = running.ended.join().unwrap();
    let since = struck_at.map_or(took, |at| {
        (running.begun + took).saturating_duration_since(at)
    });
    told.passed = output.status.success();
    told.took = took;
    let said = String::from_utf8_lossy(&output.stderr);
    if told.passed {
        let live = ground.refs();
        for (name, new) in &ready.moves {
            if live.get(name) != new.as_ref() {
                told.violations.push(format!(
                    "the push passed, and {name} is not where it put it"
                ));
            }
        }
    } else if told.step.is_none() && !said.contains(".lock': File exists") {
        // Git refuses by itself where a lock of an earlier trial's victim still stands. The push
        // after this one has to pass, so a lock that stays is found.
        told.violations
            .push(format!("the push failed, and nothing had happened: {said}"));
    }
    if matches!(plan.blow, Blow::Fault(..)) && since > PATIENCE {
        told.violations
            .push(format!("the push took {since:?} after the fault: {said}"));
    }
    if is_obscure(&said) {
        told.violations.push(format!("not in plain words: {said}"));
    }
}

/// Looks at a push until its moment has come; none when it ends before.
fn come(
    running: &Running,
    roots: &[u32],
    ground: &Ground<'_>,
    moment: Moment,
    trap: Option<&Trap>,
) -> Option<(Step, Vec<Process>)> {
    let mut step = Step::Connecting;
    let mut seen: Option<Instant> = None;
    loop {
        let is_over = running.ended.is_finished();
        let processes: Vec<Process> = roots.iter().flat_map(|pid| below(*pid)).collect();
        step = Step::of(&processes, step);
        let now = match moment {
            Moment::After(delay) => running.begun.elapsed() >= delay,
            Moment::Seen(name, argument, delay) => {
                let is = |it: &Process| {
                    it.name == name && (argument.is_empty() || it.argument == argument)
                };
                if seen.is_none() && processes.iter().any(is) {
                    seen = Some(Instant::now());
                }
                seen.is_some_and(|at| at.elapsed() >= delay)
            }
            Moment::Locked(delay) => {
                if seen.is_none() && is_locked(ground) {
                    seen = Some(Instant::now());
                }
                seen.is_some_and(|at| at.elapsed() >= delay)
            }
            Moment::Committing(_) | Moment::Committed(_) => {
                trap.is_some_and(|trap| trap.reached(Duration::ZERO))
            }
            Moment::Reconciling(_) => return None,
        };
        if now {
            return Some((step, processes));
        }
        if is_over {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

fn is_locked(ground: &Ground<'_>) -> bool {
    ["refs/heads", "reftable"].iter().any(|directory| {
        let entries = std::fs::read_dir(ground.path().join(directory));
        let mut entries = entries.into_iter().flatten().flatten();
        entries.any(|entry| entry.path().extension().is_some_and(|it| it == "lock"))
    })
}

/// Kills somebody; whether there was anybody to kill.
fn kill(
    parts: &Parts,
    victim: Victim,
    running: &Running,
    processes: &[Process],
    which: u64,
) -> bool {
    let receive_pack = || {
        let found = processes.iter().rfind(|it| it.name == "receive-pack");
        found.map(|it| it.pid)
    };
    match victim {
        Victim::ReceivePack => receive_pack().is_some_and(|pid| signal(pid, Signal::KILL)),
        Victim::ReceivePackTree => receive_pack().is_some_and(|pid| {
            // It must not start anything more while its children are counted.
            signal(pid, Signal::STOP);
            let below = below(pid);
            let killed = signal(pid, Signal::KILL);
            for process in below {
                signal(process.pid, Signal::KILL);
            }
            killed
        }),
        Victim::Hook => {
            let hook = processes
                .iter()
                .find(|it| HOOKS.contains(&it.name.as_str()));
            hook.is_some_and(|it| signal(it.pid, Signal::KILL))
        }
        Victim::Client => signal(running.pid, Signal::KILL),
        Victim::Service => parts.kill("service"),
        Victim::Proxy => parts.kill("proxy"),
        Victim::Postmaster => parts.kill("postgres"),
        Victim::Backend => backend(parts, which),
        Victim::Reconciler => false,
    }
}

fn backend(parts: &Parts, which: u64) -> bool {
    let children = below(parts.pid("postgres"));
    let serving = children.iter().filter(|it| it.name.contains("refwarden"));
    let serving: Vec<u32> = serving.map(|it| it.pid).collect();
    let count = u64::try_from(serving.len()).unwrap();
    let chosen = which
        .checked_rem(count)
        .map(|it| usize::try_from(it).unwrap());
    chosen.is_some_and(|it| signal(serving[it], Signal::KILL))
}

fn fail(parts: &Parts, fault: Fault) {
    match fault {
        Fault::Refused => parts.relay.fail(Mode::Refuse),
        Fault::Reset => parts.relay.fail(Mode::Reset),
        Fault::Blackhole => parts.relay.fail(Mode::Blackhole),
        Fault::Hang => parts.relay.fail(Mode::Hang),
        Fault::Unplugged => parts.unplug(),
        Fault::Stopped => parts.stop_postgres(Signal::STOP),
        Fault::Full(disk) => parts.fill(disk),
        // The trap that was reached is released without an answer.
        Fault::Lost(_) => {}
    }
}

/// What was killed is started again, what failed is mended, and nothing else is done.
fn recover(parts: &Parts, ground: &Ground<'_>, plan: &Plan, told: &mut Told) {
    parts.mend(plan.resumes);
    if told.step.is_some() {
        revive(parts, plan);
    }
    // Of Postgres's way back up, every trial but those of it has no part.
    if !parts.answer() {
        told.violations
            .push("service and proxy do not answer again".to_owned());
    }
    let rest = || processes::working_in(ground.path());
    if !wait(HANGS, || rest().is_empty()) {
        let names: Vec<String> = rest()
            .iter()
            .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok())
            .collect();
        told.violations
            .push(format!("what the push began still runs: {names:?}"));
    }
}

fn revive(parts: &Parts, plan: &Plan) {
    match plan.blow {
        Blow::Kill(Victim::Service, _) => parts.revive("service"),
        Blow::Kill(Victim::Proxy, _) => parts.revive("proxy"),
        Blow::Kill(Victim::Postmaster, _) => parts.revive("postgres"),
        // Without room for its log it ends, and does not begin again by itself.
        Blow::Fault(Fault::Full(Disk::Log), _) if !parts.is_running("postgres") => {
            parts.revive("postgres");
        }
        _ => {}
    }
}

/// Lets the reconciler look, killed or robbed of a part on the way where the plan says so.
fn settle(parts: &Parts, ground: &Ground<'_>, plan: &Plan, told: &mut Told) {
    if let Blow::Kill(victim, Moment::Reconciling(delay)) = plan.blow {
        let mut command = std::process::Command::new(refwarden_testkit::program("refwarden"));
        command.arg("reconcile").arg(ground.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(delay);
        let struck = match victim {
            Victim::Reconciler => child.try_wait().unwrap().is_none() && child.kill().is_ok(),
            Victim::Service => parts.kill("service"),
            Victim::Backend => backend(parts, plan.which),
            _ => parts.kill("postgres"),
        };
        let _ = child.wait();
        if struck {
            told.step = Some(Step::Reconciling);
            revive(parts, plan);
        }
        if !parts.answer() {
            told.violations
                .push("service and proxy do not answer again".to_owned());
        }
    }
    let path = ground.path().display().to_string();
    let outcome = parts.stack.refwarden(&["reconcile", &path, "--json"]);
    if !outcome.ok() {
        told.violations
            .push(format!("the reconciler: {}", outcome.everything().trim()));
    }
    told.violations
        .extend(Ledger::read(ground).violations(ground));
}

/// The next pushes pass: the same one once more where its approval is left, and others of the
/// same refs.
fn afterwards(parts: &Parts, ground: &Ground<'_>, ready: &Ready, told: &mut Told) {
    if let Some(request) = &ready.request
        && Ledger::read(ground).request(request) == "approved"
    {
        let again = past_locks(parts, ground, &ready.arguments);
        if !again.ok() {
            told.violations
                .push(format!("the approved push, once more: {again}"));
        }
    }
    let next = past_locks(parts, ground, &ready.next);
    if !next.ok() {
        told.violations.push(format!("the next push: {next}"));
    }
}

/// How long a lock may stand that a victim has left. A hook that outlives its receive-pack keeps
/// the reconciler waiting for as long as it asks the service.
const LOCKED: Duration = Duration::from_secs(30);

/// Pushes, and again after each look of the reconciler while git refuses over a lock.
fn past_locks(parts: &Parts, ground: &Ground<'_>, arguments: &[String]) -> Outcome {
    let token = parts.stack.token("ada");
    let begun = Instant::now();
    loop {
        let pushed = ground.push(&token, false, arguments);
        let is_locked = pushed.everything().contains(".lock': File exists");
        if pushed.ok() || !is_locked || begun.elapsed() > LOCKED {
            return pushed;
        }
        let path = ground.path().display().to_string();
        parts.stack.refwarden(&["reconcile", &path]);
    }
}
