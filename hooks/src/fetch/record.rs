//! Makes a pack, passes it on, and leaves on record what it was.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::SystemTime;

use refwarden_gitio::Repository;
use refwarden_model::{Code, FetchId};
use refwarden_wire::fetch::{ERRAND, Errand};

use super::asked::Question;
use super::directory;
use super::entry::{Begun, Entry, Finished};
use crate::fault::Fault;
use crate::host::Host;

/// The most that `upload-pack` may ask, in bytes: about six million ids.
const QUESTION_MAX: u64 = 256 << 20;

/// Bytes that are passed on at once.
const CHUNK: usize = 128 << 10;

/// Chunks that the copy may lag behind: 8 MiB.
const BEHIND: usize = 64;

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
    let errand = std::env::var(ERRAND).ok();
    let errand: Option<Errand> = errand.and_then(|text| serde_json::from_str(&text).ok());
    let errand = errand.ok_or_else(|| unrecorded("it is not known who fetches"))?;
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
    let spool = directory(&host.config.spool_dir);
    let id = FetchId(uuid::Uuid::now_v7());
    let (entry, held) = Entry::begin(&spool, id, &begun, &input)
        .map_err(|error| unrecorded(&format!("the spool cannot be written ({})", error.kind())))?;
    let made = make(arguments, input, &entry);
    if let Ok(finished) = made {
        // Without an end it is taken for one that was stopped, which says more than it should and
        // never less.
        let _ = entry.finish(finished);
    }
    drop(held);
    start_sender(&host.config.spool_dir);
    made.map(|_| ())
}

fn unrecorded(why: &str) -> Fault {
    Fault::new(
        Code::NotRecorded,
        format!("this fetch cannot be recorded, so nothing was sent: {why}"),
    )
    .hint("try again later, or tell the administrator of this Git server")
}

/// Runs git; hands what it prints to standard output first and to the copy behind.
fn make(arguments: &[OsString], input: Vec<u8>, entry: &Entry) -> Result<Finished, Fault> {
    let failed = |_| Fault::hook("git pack-objects cannot be run");
    let mut child = Command::new("git")
        .args(arguments)
        .env_remove(ERRAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (to_copy, chunks) = sync_channel(BEHIND);
    let copy = has_room(&entry.pack()).then(|| entry.copy().ok()).flatten();
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let beside = scope.spawn(move || copy.is_some_and(|file| copy_all(file, &chunks)));
        let mut out = std::io::stdout().lock();
        let mut bytes = 0;
        let passed = (|| {
            let mut stdout = stdout.ok_or(std::io::ErrorKind::BrokenPipe)?;
            loop {
                let mut chunk = vec![0; CHUNK];
                let length = stdout.read(&mut chunk)?;
                if length == 0 {
                    return out.flush();
                }
                chunk.truncate(length);
                // Who copies is gone where the disk is full. The fetch goes on without it.
                let chunk = std::sync::Arc::new(chunk);
                let _ = to_copy.send(std::sync::Arc::clone(&chunk));
                out.write_all(&chunk)?;
                bytes += u64::try_from(length).unwrap_or_default();
            }
        })();
        drop(to_copy);
        let copied = beside.join().unwrap_or(false);
        passed.map(|()| (bytes, copied))
    });
    let (bytes, copied) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            let text = format!("the pack could not be passed on: {}", error.kind());
            return Err(Fault::hook(text));
        }
    };
    let status = child.wait().map_err(failed)?;
    if !status.success() {
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

/// Writes what comes; says whether it was all written.
fn copy_all(mut file: File, chunks: &Receiver<std::sync::Arc<Vec<u8>>>) -> bool {
    chunks.iter().all(|chunk| file.write_all(&chunk).is_ok())
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
    command.env_remove(ERRAND);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _ = command.spawn();
}
