//! Packs in, refs set in one transaction, everything checked.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use refwarden_wire::api::{ReplayOut, ReplayPack};
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::failure::{Context as _, Failure, Outcome};
use crate::sealed::Identities;
use crate::{git, progress};

/// Dropped packs that are told one by one.
const TOLD: usize = 10;
/// What the value of a symbolic ref begins with.
const SYMBOLIC: &[u8] = b"ref: ";

/// Builds the repository in `into`, which is absent or empty.
pub fn rebuild(api: &Api, state: &ReplayOut, identities: &Identities, into: &Path) -> Outcome<()> {
    refuse_dropped(state)?;
    for pack in &state.packs {
        identities.must_open(pack)?;
    }
    let into =
        &std::path::absolute(into).context(|| format!("{} is no usable path", into.display()))?;
    let mut command = git::within(into, "init");
    command
        .args(["--quiet", "--bare", "--template="])
        .arg(format!(
            "--object-format={}",
            state.repository.object_format.name()
        ))
        .arg(into);
    git::output(command)?;
    let total = state.packs.len();
    for (index, pack) in state.packs.iter().enumerate() {
        let what = format!("pack {}/{total}", index + 1);
        unpack(api, into, pack, identities, &what)?;
    }
    set_refs(state, into)?;
    let mut command = git::within(into, "fsck");
    command.args(["--full", "--no-progress", "--no-dangling"]);
    git::output(command)?;
    // After the check, for which a symbolic ref that names nothing is an error: the repository
    // may have had one, and is rebuilt as it was.
    set_symbolic_refs(state, into)
}

/// Refuses what cannot be rebuilt any more, and says since when.
fn refuse_dropped(state: &ReplayOut) -> Outcome<()> {
    let dropped = state.packs.iter().filter_map(|pack| {
        let dropped = pack.dropped.as_ref()?;
        let whose = pack.push_id.map_or_else(
            || "recorded with the refs".to_owned(),
            |push| format!("of push {push}"),
        );
        Some(format!(
            "{} {whose}, on {}, after {} day(s)",
            pack.digest,
            dropped
                .at
                .to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            dropped.after_days
        ))
    });
    let dropped: Vec<String> = dropped.collect();
    if dropped.is_empty() {
        return Ok(());
    }
    let mut told = dropped.iter().take(TOLD).cloned().collect::<Vec<_>>();
    if dropped.len() > TOLD {
        told.push(format!("and {} more", dropped.len() - TOLD));
    }
    Err(Failure::new(format!(
        "{} pack(s) that {} was made of were dropped by retention",
        dropped.len(),
        state.repository.name
    ))
    .why(told.join("\n"))
    .next(
        "a backup of the pack store may have them; what is recorded of them stays: refwarden audit",
    ))
}

/// Downloads a pack into `git index-pack`. Git looks at whole packs only, so one whose digest
/// turns out wrong at its end is thrown away before git is told that it ended.
fn unpack(
    api: &Api,
    into: &Path,
    pack: &ReplayPack,
    identities: &Identities,
    what: &str,
) -> Outcome<()> {
    let path = format!("/api/v1/packs/{}", pack.digest);
    let answer = api.fetch_long(&path, &[])?;
    let mut opened = identities.open(pack, std::io::BufReader::with_capacity(256 << 10, answer))?;
    let bar = progress::bytes(what, Some(pack.bytes));
    let mut command = git::within(into, "index-pack");
    command
        .args(["--stdin", "--fix-thin"])
        .stdin(Stdio::piped());
    let mut child = git::spawn(&mut command)?;
    let mut stdin = child.stdin.take();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    // The last bytes are held back until the digest is known to be right: without them git
    // cannot take the pack for whole.
    let mut held: Vec<u8> = Vec::new();
    let mut broken = false;
    loop {
        let length = match opened.read_some(pack, &mut buffer) {
            Ok(length) => length,
            Err(failure) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failure);
            }
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        hasher.update(bytes);
        bar.inc(u64::try_from(length).unwrap_or_default());
        let last = length == 0;
        if last && hex::encode(hasher.clone().finalize()) != pack.digest {
            let _ = child.kill();
            let _ = child.wait();
            return Err(
                Failure::new(format!("pack {} is not what was recorded", pack.digest))
                    .why("the SHA-256 of what the service sent differs")
                    .next("restore the pack store from its backup"),
            );
        }
        if let (Some(stdin), false) = (&mut stdin, broken) {
            broken = stdin.write_all(&held).is_err();
        }
        if last {
            break;
        }
        held = bytes.to_vec();
    }
    drop(stdin);
    bar.finish_and_clear();
    // Its output is the pack's name, which fits the pipe.
    match git::ended_badly(&mut child) {
        None => Ok(()),
        Some(why) => Err(Failure::new(format!("git does not take pack {}", pack.digest)).why(why)),
    }
}

fn set_refs(state: &ReplayOut, into: &Path) -> Outcome<()> {
    let mut input = Vec::new();
    for one in &state.refs {
        let (name, value) = (one.name.as_bytes(), one.value.as_bytes());
        if !value.starts_with(SYMBOLIC) {
            for part in [b"create ", name, b"\0", value, b"\0"] {
                input.extend_from_slice(part);
            }
        }
    }
    let mut command = git::within(into, "update-ref");
    command.args(["--stdin", "-z"]);
    git::feed(command, &input).map(drop)
}

fn set_symbolic_refs(state: &ReplayOut, into: &Path) -> Outcome<()> {
    for one in &state.refs {
        if let Some(target) = one.value.as_bytes().strip_prefix(SYMBOLIC) {
            set_symbolic(into, one.name.as_bytes(), target)?;
        }
    }
    let head = state.head.as_bytes();
    if head.starts_with(b"refs/") {
        return set_symbolic(into, b"HEAD", head);
    }
    let mut command = git::within(into, "update-ref");
    command.args(["--no-deref", "HEAD"]).arg(os(head));
    git::output(command).map(drop)
}

fn set_symbolic(into: &Path, name: &[u8], target: &[u8]) -> Outcome<()> {
    let mut command = git::within(into, "symbolic-ref");
    command.arg(os(name)).arg(os(target));
    git::output(command).map(drop)
}

fn os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}
