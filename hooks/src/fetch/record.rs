//! Makes a pack, passes it on, and leaves on record what it was.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use refwarden_gitio::{Git, Repository};
use refwarden_model::{Code, FetchId};
use refwarden_wire::fetch::{ERRAND, Errand, LEARNED, Learned, Session};

use super::asked::Question;
use super::directory;
use super::entry::{Begun, Entry, Finished};
use super::tee::Tee;
use crate::fault::Fault;
use crate::host::Host;

/// The most that `upload-pack` may ask, in bytes: about six million ids.
const QUESTION_MAX: u64 = 256 << 20;

/// The most that is read of what the login shell noted, in bytes.
const LEARNED_MAX: u64 = 16 << 10;

/// The file system keeps this much for itself, in bytes; no copy is made below it.
const SPARE: u64 = 512 << 20;

/// Runs `git pack-objects` as `upload-pack` asks for it.
///
/// # Errors
/// When the fetch cannot be noted: then nothing is sent. When git cannot make the pack.
pub fn record() -> Result<(), Fault> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let unknown = || Fault::hook("git asked for a pack in a way that is not known");
    let (program, arguments) = arguments.split_first().ok_or_else(unknown)?;
    if program != "git" || !arguments.iter().any(|argument| argument == "pack-objects") {
        return Err(unknown());
    }
    // It starts while the note is made and becomes durable; nothing that it says goes on before that.
    let making = Making::start(arguments)?;
    let errand = std::env::var(ERRAND).ok();
    let errand: Option<Errand> = errand.and_then(|text| serde_json::from_str(&text).ok());
    let mut errand = errand.ok_or_else(|| unrecorded("it is not known who fetches"))?;
    if let Some(learned) = learned() {
        let session = &mut errand.session;
        session.client_agent = learned.client_agent.or(session.client_agent.take());
        session.refs = learned.refs.or(session.refs.take());
    }
    let mut input = Vec::new();
    std::io::stdin()
        .lock()
        .take(QUESTION_MAX)
        .read_to_end(&mut input)
        .map_err(|_| unknown())?;
    Question::read(arguments, &input).ok_or_else(unknown)?;
    let host = Host::of(Repository::open(&errand.gitdir)?)?;
    let texts = arguments
        .iter()
        .map(|one| one.to_string_lossy().into_owned());
    let begun = Begun {
        served: std::env::current_dir().map_err(|_| unknown())?,
        at: now(),
        protocol: protocol(),
        arguments: texts.collect(),
        errand,
    };
    tell_of_change(&begun.errand.session);
    let spool = directory(&host.config.spool_dir);
    let id = FetchId(uuid::Uuid::now_v7());
    let (entry, held) = Entry::begin(&spool, id, &begun, &input)
        .map_err(|error| unrecorded(&format!("the spool cannot be written ({})", error.kind())))?;
    let made = making.pass_on(input, &entry);
    if let Ok(finished) = made {
        // Without an end it is taken for one that was stopped, which says more than it should and
        // never less.
        let _ = entry.finish(finished);
    }
    drop(held);
    start_sender(&host.config.spool_dir);
    made.map(|_| ())
}

/// What the login shell has learned of the session. A fetch is recorded without it, too.
fn learned() -> Option<Learned> {
    let number: u32 = std::env::var(LEARNED).ok()?.parse().ok()?;
    let note = std::fs::File::open(format!("/proc/self/fd/{number}")).ok()?;
    let mut text = Vec::new();
    note.take(LEARNED_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn unrecorded(why: &str) -> Fault {
    Fault::new(
        Code::NotRecorded,
        format!("this fetch cannot be recorded, so nothing was sent: {why}"),
    )
    .hint("try again later, or tell the administrator of this Git server")
}

/// Tells a reader whose view is another than at the last fetch what mends an older clone.
/// `upload-pack` passes standard error on to the client.
fn tell_of_change(session: &Session) {
    let (Some(view), Some(before)) = (&session.view, &session.view_before) else {
        return;
    };
    if view.id == *before {
        return;
    }
    let words = "refwarden: the masked view is another than when you fetched last, and commits\n\
                 refwarden: may have other names. In a clone that is older, run: refwarden resync\n";
    // A client that has gone hears nothing; what it was sent is recorded all the same.
    let _ = std::io::stderr().write_all(words.as_bytes());
}

/// Git, which makes the pack. It is stopped where this is dropped before its end.
struct Making(Child);

impl Making {
    /// Starts it. It waits for the question.
    fn start(arguments: &[OsString]) -> Result<Self, Fault> {
        Git::asked(arguments)
            .env_remove(ERRAND)
            .env_remove(LEARNED)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Self)
            .map_err(|_| Fault::hook("git pack-objects cannot be run"))
    }

    /// Asks it; hands what it prints to standard output, and to the copy.
    fn pass_on(mut self, input: Vec<u8>, entry: &Entry) -> Result<Finished, Fault> {
        let (stdin, stdout) = (self.0.stdin.take(), self.0.stdout.take());
        let copy = has_room(&entry.pack()).then(|| entry.copy().ok()).flatten();
        let passed = std::thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
            let stdout = stdout.ok_or(std::io::ErrorKind::BrokenPipe)?;
            let passed = Tee::new(stdout, copy).run(std::io::stdout());
            if passed.is_err() {
                // It may still wait for the rest of the question.
                let _ = self.0.kill();
            }
            passed
        });
        let (bytes, copied) = passed.map_err(|error| {
            Fault::hook(format!("the pack could not be passed on: {}", error.kind()))
        })?;
        if !self.0.wait().is_ok_and(|status| status.success()) {
            return Err(Fault::hook("git pack-objects failed"));
        }
        if !copied {
            entry.drop_copy();
        }
        Ok(Finished {
            at: now(),
            bytes,
            copied,
        })
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has_room(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(path);
    rustix::fs::statvfs(directory)
        .is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) > SPARE)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// git takes the highest version that it knows among those asked for.
fn protocol() -> u8 {
    let asked = std::env::var("GIT_PROTOCOL").unwrap_or_default();
    let versions = asked
        .split(':')
        .filter_map(|part| part.strip_prefix("version="));
    versions
        .filter_map(|version| version.parse().ok())
        .filter(|it| *it <= 2)
        .max()
        .unwrap_or(0)
}

/// Has the spool sent, by a process that nobody waits for. The reconciler sends what this does not.
fn start_sender(spool: &Path) {
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut command = Command::new(program);
    command.arg("--send").arg(spool);
    command.env_remove(ERRAND).env_remove(LEARNED);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = command.spawn();
}
