//! `refwarden-receive`: takes the push of somebody who reads a masked view.
//!
//! To the client it is `git receive-pack` in the shadow. It indexes the pack in a directory of its
//! own, has the push translated into terms of the original (`refwarden_view::unmask`), hands that
//! to `git receive-pack` of the original, whose hooks judge it as any other push, and tells the
//! client what became of it in the client's terms. It moves no ref and decides nothing by itself.

mod arguments;
mod report;
mod request;
mod speak;

use std::fs::Permissions;
use std::io::{BufReader, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::time::{Duration, SystemTime};

use refwarden_gitio::command::{configure, run_own_hooks};
use refwarden_gitio::pktline::{Packet, encode};
use refwarden_gitio::{Git, Repository};
use refwarden_model::Code;
use refwarden_scan::Ruleset;
use refwarden_view::cache::{maps, repository_key, shadow, view_of};
use refwarden_view::unmask::{Translated, UnmaskError, View, receive, unmask};
use refwarden_view::{Mask, RefFilters};
use refwarden_wire::hook::{
    MASKED_JSON, MASKED_PACK, MASKED_PUSH, MaskedPush, MaskedUpdate, REFUSED, RefusedIn,
    UNTRANSLATED, UntranslatedIn,
};
use secrecy::SecretString;

use crate::client::Client;
use crate::correlation;
use crate::fault::Fault;
use crate::host::Host;
use crate::through::WORK;
use arguments::Arguments;
use report::Told;
use request::Request;
use speak::Client as Speaker;

/// Directories of pushes that were killed are taken away after this long.
const LEFT_OVER: Duration = Duration::from_hours(24);

/// How often the client hears something while its push is translated, as `receive.keepAlive`
/// (git-config(1)) has it: proxies and clients take silence for an end.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What the environment says of the pusher; the proxy or the login shell has put it there.
const PUSHER: [&str; 5] = [
    "REFWARDEN_TOKEN",
    "REFWARDEN_PUSH_ID",
    "REFWARDEN_TRANSPORT",
    "REFWARDEN_CLIENT_ADDRESS",
    "REFWARDEN_CLIENT_AGENT",
];

/// Takes the push on standard input and answers on standard output.
///
/// # Errors
/// What the client could not be told: the request cannot be read, or nobody reads the answer.
pub fn run() -> Result<(), Fault> {
    let arguments = Arguments::read()?;
    let mut input = BufReader::with_capacity(64 * 1024, std::io::stdin().lock());
    let request = Request::read(&mut input)?;
    if request.commands.is_empty() {
        return Ok(());
    }
    let mut client = Speaker::new(&request, std::io::stdout());
    let mut came = None;
    let ended = take(&arguments, &request, &mut input, &mut client, &mut came);
    if let Err(fault) = &ended {
        if let Fault::Own { code, text, .. } = fault {
            record(&arguments.repository, *code, text, came);
        }
        client.refuse(fault, &request)?;
    }
    client.end()
}

/// What the client has sent, until it is handed over.
struct Came {
    push: MaskedPush,
    /// Where the pack is.
    work: tempfile::TempDir,
}

impl Came {
    fn pack(&self) -> std::io::Result<std::fs::File> {
        std::fs::File::open(self.work.path().join(MASKED_PACK))
    }
}

/// `came` is what is to be recorded where this fails.
fn take(
    arguments: &Arguments,
    request: &Request,
    pack: &mut dyn std::io::Read,
    client: &mut Speaker<impl std::io::Write + Send>,
    came: &mut Option<Came>,
) -> Result<(), Fault> {
    if request.is_signed {
        let text = "a signed push cannot be translated back";
        return Err(Fault::new(Code::Unsupported, text).hint("push without --signed"));
    }
    let open = |path: &Path| Repository::open(path).map_err(|error| broken(&error));
    let original = open(&arguments.repository)?;
    let shadow = open(&shadow(&arguments.generation))?;
    let ruleset = ruleset(arguments)?;
    let key = repository_key(&arguments.key()?, &original);
    let mask = Mask::new(&ruleset, &key).map_err(|error| broken(&error))?;
    let maps = maps(&arguments.generation).map_err(|error| broken(&error))?;
    let filters = arguments.view.filters.iter();
    let filters = RefFilters::new(filters.map(|it| (&it.refs[..], &it.hide[..])))
        .map_err(|error| broken(&error))?;
    let shows = |name: &refwarden_model::RefName| filters.shows(name);
    let prints = arguments
        .view
        .may_move
        .then(|| Host::of(original.clone())?.fingerprint_key());
    let prints = prints.transpose()?;
    let view = View {
        original: &original,
        shadow: &shadow,
        mask: &mask,
        maps: &maps,
        shows: &shows,
        moves: prints.as_ref(),
    };
    let work = work(&arguments.work).map_err(|error| broken(&error))?;
    let (received, made) = (work.path().join("received"), work.path().join("made"));
    let brings = request.commands.iter().any(|it| !it.new.is_zero());
    let most = limit(&original)?;
    let path = work.path().join(MASKED_PACK);
    let mut kept = Kept::new(pack, &path, most).map_err(|it| broken(&it))?;
    let indexed = if brings {
        receive(&shadow, &received, &mut kept, most)
    } else {
        Ok(())
    };
    let too_long = kept.is_over.then(|| too_long(most));
    let ruleset_id = ruleset.id().to_string();
    let push = masked(arguments, request, ruleset_id, kept.finish()).map_err(|it| broken(&it))?;
    *came = Some(Came { push, work });
    if let Some(fault) = too_long {
        return Err(fault);
    }
    indexed.map_err(fault)?;
    std::fs::create_dir_all(&made).map_err(|error| broken(&error))?;
    let received = Some(received.as_path()).filter(|_| brings);
    let translated = client.keeping(KEEP_ALIVE, || {
        unmask(view, received, &request.commands, &made).map_err(fault)
    })?;
    let Some(Came { mut push, work }) = came.take() else {
        return Err(Fault::hook("what the client has sent is not there"));
    };
    push.moves.clone_from(&translated.moves);
    push.sizes.clone_from(&translated.sizes);
    push.by = Some(correlation::of_this_process()?);
    let json = serde_json::to_vec(&push).map_err(|error| broken(&error))?;
    let left = create(&work.path().join(MASKED_JSON)).and_then(|mut file| file.write_all(&json));
    left.map_err(|error| broken(&error))?;
    hand_over(request, view, &translated, work.path(), client)
}

/// What the record says of the push as its client made it.
fn masked(
    arguments: &Arguments,
    request: &Request,
    ruleset: String,
    pack_bytes: std::io::Result<u64>,
) -> std::io::Result<MaskedPush> {
    let updates = request.commands.iter().map(|it| MaskedUpdate {
        ref_name: it.name.clone(),
        old: it.old,
        new: it.new,
    });
    Ok(MaskedPush {
        view: view_of(&arguments.generation)?,
        ruleset,
        made_of: Some(arguments.view.clone()),
        updates: updates.collect(),
        moves: Vec::new(),
        sizes: Vec::new(),
        by: None,
        pack_bytes: pack_bytes?,
    })
}

/// A file that nobody else reads or writes: the hook believes no other ([`crate::through`]).
fn create(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// The most bytes that a client may send, as the repository's own `receive.maxInputSize`
/// (git-config(1)) has it; none where it has none.
fn limit(original: &Repository) -> Result<Option<u64>, Fault> {
    let git = Git::serving(&original.gitdir, "config");
    let git = git.args(["--type=int", "--get", "receive.maxInputSize"]);
    let mut command = git.into_command();
    command.current_dir(&original.gitdir);
    alone(&mut command);
    let said = command.output().map_err(|error| broken(&error))?;
    // 1: there is no such setting (git-config(1)).
    if said.status.code() == Some(1) {
        return Ok(None);
    }
    let most = std::str::from_utf8(&said.stdout).ok();
    let most = most.and_then(|text| text.trim().parse::<i64>().ok());
    let most = most.filter(|_| said.status.success());
    let most = most.ok_or_else(|| broken(&"receive.maxInputSize cannot be read"))?;
    // As git has it, nothing above zero is no limit.
    Ok(u64::try_from(most).ok().filter(|most| *most > 0))
}

fn too_long(most: Option<u64>) -> Fault {
    let most = most.unwrap_or_default();
    let text = format!(
        "the pack is longer than the {most} bytes that this repository takes (receive.maxInputSize)"
    );
    Fault::new(Code::NotTranslated, text).hint("push in smaller steps")
}

/// Settings of the repository alone.
fn alone(command: &mut std::process::Command) {
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
}

/// A pack that is kept as it comes, while it is read. Of one that is too long nothing is kept.
struct Kept<'p> {
    pack: &'p mut dyn Read,
    file: std::fs::File,
    bytes: u64,
    most: Option<u64>,
    is_over: bool,
}

impl<'p> Kept<'p> {
    fn new(pack: &'p mut dyn Read, path: &Path, most: Option<u64>) -> std::io::Result<Self> {
        Ok(Self {
            pack,
            file: create(path)?,
            bytes: 0,
            most,
            is_over: false,
        })
    }

    fn finish(mut self) -> std::io::Result<u64> {
        if self.is_over {
            self.file.set_len(0)?;
            // The client hears no answer before it has sent all.
            std::io::copy(&mut self.pack, &mut std::io::sink())?;
            return Ok(0);
        }
        self.file.flush()?;
        Ok(self.bytes)
    }
}

impl Read for Kept<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        let count = self.pack.read(into)?;
        self.bytes += count as u64;
        if self.most.is_some_and(|most| self.bytes > most) {
            self.is_over = true;
            return Ok(0);
        }
        self.file.write_all(into.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

/// Runs `git receive-pack` of the original, and tells the client what it says.
fn hand_over(
    request: &Request,
    view: View<'_, '_>,
    translated: &Translated,
    work: &Path,
    client: &mut Speaker<impl std::io::Write>,
) -> Result<(), Fault> {
    let git = Git::serving(&view.original.gitdir, "receive-pack");
    let mut command = git.args(["--stateless-rpc", "."]).into_command();
    command.current_dir(&view.original.gitdir);
    alone(&mut command);
    for name in PUSHER {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env(MASKED_PUSH, work);
    run_own_hooks(&mut command);
    // It was held against what the client has sent. Of what it has become, it would measure secrets.
    configure(&mut command, &[("receive.maxInputSize", "0")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| broken(&error))?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (stdin, stdout) = pipes.ok_or_else(|| broken(&"git started without its pipes"))?;
    std::thread::scope(|scope| {
        // What cannot be written shows in what git says, or in its saying nothing.
        scope.spawn(move || feed(stdin, request, translated));
        let mut told = Told::new(view, translated);
        told.pass_on(BufReader::new(stdout), client)
    })?;
    let _ = child.wait();
    Ok(())
}

fn feed(mut git: ChildStdin, request: &Request, translated: &Translated) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut line =
        |bytes: &[u8]| encode(Packet::Data(bytes), &mut head).map_err(std::io::Error::other);
    for (index, command) in translated.commands.iter().enumerate() {
        let mut text = format!("{} {} ", command.old, command.new).into_bytes();
        text.extend_from_slice(command.name.as_bytes());
        if index == 0 {
            text.push(0);
            text.extend_from_slice(request.capabilities().as_bytes());
        }
        line(&text)?;
    }
    head.extend_from_slice(b"0000");
    if let Some(options) = &request.options {
        let mut tail = Vec::new();
        for option in options {
            encode(Packet::Data(option), &mut tail).map_err(std::io::Error::other)?;
        }
        head.extend_from_slice(&tail);
        head.extend_from_slice(b"0000");
    }
    git.write_all(&head)?;
    if translated.commands.iter().any(|it| !it.new.is_zero()) {
        let mut pack = translated.pack().map_err(std::io::Error::other)?;
        std::io::copy(&mut pack, &mut git)?;
    }
    git.flush()
}

/// The same rules that the shadow was built with.
fn ruleset(arguments: &Arguments) -> Result<Ruleset, Fault> {
    let mut texts = Vec::new();
    for path in &arguments.rules {
        let text = std::fs::read_to_string(path).map_err(|error| broken(&error))?;
        texts.push((path.display().to_string(), text));
    }
    let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (&**a, &**b)).collect();
    let ruleset = refwarden_view::rules::ruleset(&texts, &arguments.view);
    ruleset.map_err(|error| broken(&error))
}

/// A directory of its own, beside those of other pushes.
fn work(beside: &Path) -> std::io::Result<tempfile::TempDir> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut directories = std::fs::DirBuilder::new();
    directories.recursive(true).mode(0o700).create(beside)?;
    let now = SystemTime::now();
    for entry in std::fs::read_dir(beside)?.filter_map(Result::ok) {
        let changed = entry.metadata().and_then(|it| it.modified());
        let age = changed.ok().and_then(|it| now.duration_since(it).ok());
        if age.is_some_and(|age| age > LEFT_OVER) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let mut directories = tempfile::Builder::new();
    // Secrets are in it, and the hook believes no directory that others may enter.
    directories
        .prefix(WORK)
        .permissions(Permissions::from_mode(0o700));
    directories.tempdir_in(beside.canonicalize()?)
}

/// A push that is refused here is recorded like one that a hook refuses, with what the client has
/// sent, where it came so far.
fn record(repository: &Path, code: Code, text: &str, came: Option<Came>) {
    let told = || {
        let host = Host::of(Repository::open(repository).ok()?).ok()?;
        let refused = RefusedIn {
            repository: host.id,
            correlation: correlation::of_this_process().ok()?,
            transport: transport(),
            client_address: std::env::var("REFWARDEN_CLIENT_ADDRESS").ok(),
            code,
            text: text.to_owned(),
        };
        let token = std::env::var("REFWARDEN_TOKEN")
            .ok()
            .map(SecretString::from);
        let client = Client::new(&host).ok()?;
        let Some(came) = came else {
            return client.tell_of(token.as_ref(), REFUSED, &refused).ok();
        };
        let pack = came.pack().ok()?;
        let masked = came.push.clone();
        let told = UntranslatedIn { refused, masked };
        client
            .tell_of_pack(token.as_ref(), UNTRANSLATED, &told, pack)
            .ok()
    };
    if told().is_none() {
        eprintln!("a refused push could not be recorded: {code}");
    }
}

/// How the push came: the proxy or the login shell says.
fn transport() -> String {
    std::env::var("REFWARDEN_TRANSPORT").unwrap_or_else(|_| "http".to_owned())
}

/// Only a refusal is for the client; anything else may name objects of the original.
fn fault(error: UnmaskError) -> Fault {
    match error {
        UnmaskError::Refused(refusal) => {
            Fault::new(refusal.problem.code(), refusal.to_string()).hint(refusal.problem.hint())
        }
        other => broken(&other),
    }
}

/// Logs what is wrong, and says no more than that something is.
fn broken(error: &dyn std::fmt::Display) -> Fault {
    eprintln!("a push from a masked clone: {error}");
    Fault::hook("the push could not be translated back")
}
