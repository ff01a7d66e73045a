//! Serves a fetch by a git that runs below, and listens to how the session begins: which refs the
//! client is told of, and what it says that it is. Over SSH nobody else hears that.
//!
//! It is a note for the record, in a file without a name that git and what git starts inherit:
//! `refwarden-pack-objects` reads it when a pack is asked for ([`LEARNED`]). Each packet is noted before
//! it goes on, so by then all of it has been. Nothing is decided by it, and what is not understood is
//! passed on unheard. It follows pkt-lines (gitprotocol-common(5)) until it knows, or knows that it
//! never will; what follows is only copied.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use refwarden_gitio::pktline;
use refwarden_wire::fetch::{LEARNED, Learned, ToldRefs};
use rustix::fs::{MemfdFlags, memfd_create};
use sha2::{Digest as _, Sha256};

/// Packets of the client in which it may say what it is: it does so in the first or second.
const PACKETS: usize = 16;

/// Bytes that are passed on at once, of a pack apart.
const PIECE: usize = 64 << 10;

/// The longest name of a client, in bytes.
const AGENT_MAX: usize = 256;

/// A git that serves.
pub struct Serving {
    /// The process.
    pub child: Child,
    said: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Starts git, and passes on what it and the client say.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let note = Arc::new(Note::new(command));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let (stdin, stdout) = (stdin.ok_or_else(missing)?, stdout.ok_or_else(missing)?);
        let heard = Arc::clone(&note);
        // Nobody waits for it: it may hear nothing more and not end, and ends with this process.
        Builder::new().spawn(move || client(stdin, &heard))?;
        let said = Builder::new().spawn(move || git(stdout, &note))?;
        Ok(Self { child, said })
    }

    /// Waits until git has ended and the client has all that it said.
    pub fn end(mut self) -> io::Result<ExitStatus> {
        // A client that has gone takes nothing more; git hears of it by its broken pipe.
        let _ = self.said.join();
        self.child.wait()
    }
}

/// What is learned, where whoever git starts finds it.
struct Note {
    /// None where none can be made: then nothing is noted.
    file: Option<File>,
    learned: Mutex<Learned>,
}

impl Note {
    fn new(command: &mut Command) -> Self {
        // Inherited, so not closed when a program is started.
        let file = memfd_create("refwarden-learned", MemfdFlags::empty());
        let file = file.ok().map(File::from);
        match &file {
            Some(file) => command.env(LEARNED, file.as_raw_fd().to_string()),
            None => command.env_remove(LEARNED),
        };
        Self {
            file,
            learned: Mutex::default(),
        }
    }

    fn learn(&self, how: impl FnOnce(&mut Learned)) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        how(&mut learned);
        if let Some(file) = &self.file {
            // What cannot be noted is not known.
            let _ = write(file, &learned);
        }
    }
}

fn write(file: &File, learned: &Learned) -> io::Result<()> {
    let text = serde_json::to_vec(learned)?;
    file.write_all_at(&text, 0)?;
    file.set_len(text.len() as u64)
}

/// Passes on what the client says.
fn client(mut to: ChildStdin, note: &Note) -> io::Result<()> {
    let mut from = io::stdin().lock();
    let mut one = Vec::new();
    for _ in 0..PACKETS {
        let is_whole = packet(&mut from, &mut one)?;
        let agent = agent(&one);
        let is_known = agent.is_some();
        if is_known {
            note.learn(|learned| learned.client_agent = agent);
        }
        to.write_all(&one)?;
        if is_known || !is_whole {
            break;
        }
    }
    copy(&mut from, &mut to)
}

/// Passes on what git says.
fn git(from: ChildStdout, note: &Note) -> io::Result<()> {
    // Not by way of the standard library's buffer, which ends with lines.
    let mut to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut from = BufReader::with_capacity(PIECE, from);
    let mut answers = Answers::default();
    let mut one = Vec::new();
    {
        let mut passing = BufWriter::with_capacity(PIECE, &to);
        loop {
            let is_whole = packet(&mut from, &mut one)?;
            let goes_on = is_whole && answers.take(&one, note);
            passing.write_all(&one)?;
            if !goes_on {
                passing.flush()?;
                break;
            }
            // The client may wait for it before git says more.
            if from.buffer().is_empty() {
                passing.flush()?;
            }
        }
    }
    copy(&mut from, &mut to)
}

/// Passes on what follows. Not by `io::copy`, which uses splice(2): where the client is at a socket, that
/// holds the lock of git's pipe while it waits; git cannot read what is in there already, nor be killed.
fn copy(from: &mut impl Read, to: &mut impl io::Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        match piece.get(..read) {
            Some(came) if !came.is_empty() => to.write_all(came)?,
            _ => return Ok(()),
        }
    }
}

/// Reads a packet as it came; false where it is none, or ends early: then what there was of it.
fn packet(from: &mut impl Read, one: &mut Vec<u8>) -> io::Result<bool> {
    one.clear();
    from.by_ref().take(4).read_to_end(one)?;
    let digits = one.first_chunk::<4>();
    let Some(length) = digits.and_then(|digits| pktline::length(*digits).ok()) else {
        return Ok(false);
    };
    let left = length.saturating_sub(4);
    let came = from.by_ref().take(left as u64).read_to_end(one)?;
    Ok(came == left)
}

/// What a client says that it is: a word of its first request (gitprotocol-capabilities(5)), or in
/// version 2 a packet of its own (gitprotocol-v2(5)).
fn agent(packet: &[u8]) -> Option<String> {
    let mut words = packet
        .get(4..)?
        .split(|byte| matches!(byte, b' ' | b'\0' | b'\n'));
    let agent = words.find_map(|word| word.strip_prefix(b"agent="))?;
    let is_plain = !agent.is_empty() && agent.iter().all(u8::is_ascii_graphic);
    (is_plain && agent.len() <= AGENT_MAX).then(|| String::from_utf8_lossy(agent).into_owned())
}

/// The answers of git that come before a pack, one after the other.
#[derive(Default)]
struct Answers {
    hasher: Sha256,
    count: u64,
    /// Refs are told when they are asked for, after what may be asked.
    is_version_2: bool,
    /// It is being said what may be asked.
    is_offering: bool,
}

impl Answers {
    /// Takes a packet; whether a list of refs may still come. What is a ref is as the proxy counts it.
    fn take(&mut self, packet: &[u8], note: &Note) -> bool {
        self.hasher.update(packet);
        if packet == b"0000" {
            let digest = std::mem::take(&mut self.hasher).finalize();
            let count = std::mem::take(&mut self.count);
            if count > 0 {
                let digest = hex::encode(digest);
                note.learn(|learned| learned.refs = Some(ToldRefs { count, digest }));
            }
            self.is_offering = false;
            return self.is_version_2;
        }
        let line = packet.get(4..).unwrap_or_default();
        if line.starts_with(b"version 2") {
            (self.is_version_2, self.is_offering) = (true, true);
        }
        if self.is_offering {
            return true;
        }
        let begin = line.first_chunk::<40>();
        if begin.is_some_and(|begin| begin.iter().all(u8::is_ascii_hexdigit)) {
            self.count += 1;
            return true;
        }
        let others: [&[u8]; 3] = [b"version ", b"unborn ", b"shallow "];
        others.iter().any(|other| line.starts_with(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    /// What is learned of what git says, and how many bytes were listened to.
    fn check(said: &str, expected: Option<(u64, &str)>, heard: usize) {
        let note = Note {
            file: None,
            learned: Mutex::default(),
        };
        let mut from = said.as_bytes();
        let (mut answers, mut one) = (Answers::default(), Vec::new());
        while packet(&mut from, &mut one).unwrap() && answers.take(&one, &note) {}
        assert_eq!(said.len() - from.len(), heard, "{said}");
        let learned = note.learned.into_inner().unwrap();
        let expected = expected.map(|(count, answer)| ToldRefs {
            count,
            digest: hex::encode(Sha256::digest(answer)),
        });
        assert_eq!(learned.refs, expected, "{said}");
    }

    #[test]
    fn refs_are_counted_as_they_are_told_and_nothing_else_is() {
        let oid = "a".repeat(40);
        let refs = line(&format!("{oid} HEAD\0agent=x\n"))
            + &line(&format!("{oid} refs/heads/a\n"))
            + "0000";
        let pack = line("NAK\n") + "PACK";
        check(
            &format!("{refs}{pack}"),
            Some((2, refs.as_str())),
            refs.len(),
        );
        let first = line("version 1\n") + &refs;
        check(
            &format!("{first}{pack}"),
            Some((2, first.as_str())),
            first.len(),
        );
        let offer =
            line("version 2\n") + &line("agent=git/2\n") + &line("ls-refs=unborn\n") + "0000";
        let packfile = line("packfile\n");
        let whole = format!("{offer}{refs}{packfile}");
        check(
            &format!("{whole}0009\u{1}PACK"),
            Some((2, refs.as_str())),
            whole.len(),
        );
        // Nothing to tell, nothing said, and what is no packet.
        let unborn = line("unborn HEAD symref-target:refs/heads/main\n") + "0000";
        check(
            &format!("{offer}{unborn}"),
            None,
            offer.len() + unborn.len(),
        );
        check("", None, 0);
        check("zzzz and more", None, 4);
        check("0010 short", None, 10);
    }

    #[test]
    fn a_client_is_known_by_what_it_says_in_either_version() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(agent(line(text).as_bytes()).as_deref(), expected, "{text}");
        };
        let oid = "a".repeat(40);
        let want = format!("want {oid} side-band-64k ofs-delta agent=git/2.47.3\n");
        check(&want, Some("git/2.47.3"));
        check("agent=git/2.51.0-Linux\n", Some("git/2.51.0-Linux"));
        check("command=ls-refs\n", None);
        check("agent=\n", None);
        check("agent=\u{1b}[31m\n", None);
        check(&format!("agent={}\n", "x".repeat(257)), None);
        assert_eq!(agent(b"0000"), None);
        assert_eq!(agent(b""), None);
    }
}
