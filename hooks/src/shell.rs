//! `refwarden-shell`: what sshd runs for a session, as a login shell or as `ForceCommand`.
//!
//! It serves fetches and pushes of guarded repositories below one directory and nothing else, asks
//! the service who the session is and what it may read, and becomes git for a push; for a fetch git runs
//! below it ([`listen`]). A session is known
//! by `REFWARDEN_TOKEN` or by the SSH certificate that sshd let it in with. It decides nothing by
//! itself, keeps nothing but what the service said of readers a moment ago, and reads no file of the
//! client's choosing.

mod command;
mod listen;
mod masked;
mod recent;
mod session;
mod syslog;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::SystemTime;

use refwarden_gitio::command::{configure, for_shell, run_own_hooks};
use refwarden_gitio::served::{Root, Served};
use refwarden_gitio::{Git, Repository};
use refwarden_model::{Code, PushId};
use refwarden_wire::fetch::{self, Errand};
use refwarden_wire::hook::{AUTHENTICATE, AuthenticateIn, AuthenticateOut, Operation, View};
use refwarden_wire::ssh::{SSH_TOKEN, SshTokenIn, SshTokenOut};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::client::{CallError, Client};
use crate::fault::Fault;
use crate::host::Host;
use command::Asked;
use listen::Serving;
use recent::Recent;
use session::Session;

/// What `--help` says.
pub const HELP: &str = "\
Serves git fetches and pushes over SSH, and nothing else.

Usage: refwarden-shell [--root DIRECTORY] [-c COMMAND]

  --root DIRECTORY  where the repositories stand; the home directory unless given
  -c COMMAND        what the client wants; SSH_ORIGINAL_COMMAND unless given

In sshd_config, for the account that clients use:
  ForceCommand /usr/lib/refwarden/refwarden-shell --root /srv/git
  ExposeAuthInfo yes
  AcceptEnv REFWARDEN_TOKEN GIT_PROTOCOL";

/// Serves the session: a fetch to its end, and a push by becoming git, so that it does not return.
pub fn run() -> Result<(), Fault> {
    let session = Session::read()?;
    let asked = Asked::parse(&session.command)?;
    let root = Root::new(&session.root)
        .map_err(|_| Fault::hook("the directory of the repositories cannot be read"))?;
    // Why a repository is not served is not for the client to know.
    let served = asked
        .path(&session.root)
        .and_then(|path| root.open(&path).ok());
    let served = served.ok_or_else(|| {
        Fault::new(Code::UnknownRepository, "there is no such repository here")
            .hint("check the path of the URL")
    })?;
    guarded(&served, asked.operation)?;
    let repository = Repository::open(&served.directory)
        .map_err(|_| Fault::hook("the repository cannot be read"))?;
    let host = Host::of(repository)?;
    let client = Client::new(&host)?;
    let (token, answer) = admitted(&session, &host, &client, asked.operation)?;
    let introduce = |command: &mut Command| introduce(command, &session, token.as_ref(), &asked);
    let view = answer.view.clone();
    let errand = errand(&session, &host, token.as_ref(), answer);
    if let View::Masked(view) = &view {
        return masked::serve(&host, &served, view, asked.operation, &introduce, errand);
    }
    let subcommand = match asked.operation {
        Operation::Fetch => "upload-pack",
        Operation::Push => "receive-pack",
    };
    let mut git = Git::serving(&served.directory, subcommand);
    if asked.operation == Operation::Fetch {
        git = git.arg("--strict");
    }
    let mut git = git.arg(".").into_command();
    git.current_dir(&served.directory)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    introduce(&mut git);
    match asked.operation {
        Operation::Fetch => {
            record(&mut git, &errand)?;
            let serving = Serving::start(&mut git).map_err(|error| not_started(&error))?;
            ended(serving.end())
        }
        Operation::Push => {
            run_own_hooks(&mut git);
            Err(not_started(&git.exec()))
        }
    }
}

fn not_started(error: &std::io::Error) -> Fault {
    Fault::hook(format!("git cannot be started: {}", error.kind()))
}

/// How git ended, which has told the client what there was to tell.
fn ended(status: std::io::Result<ExitStatus>) -> Result<(), Fault> {
    let status = status.map_err(|_| Fault::hook("git cannot be waited for"))?;
    if status.success() {
        return Ok(());
    }
    Err(Fault::Told)
}

/// Whether git would run the hooks that judge, and whether a fetch can be recorded. Who may know
/// that the repository is there cannot be asked: only its hooks' configuration names the service.
fn guarded(served: &Served, operation: Operation) -> Result<(), Fault> {
    let guarded = match operation {
        Operation::Fetch => served.may_be_read(),
        Operation::Push => served.may_be_pushed_to(),
    };
    guarded.map_err(|gap| {
        let directory = served.directory.display();
        syslog::error(&format!("{directory} was not served: {gap}"));
        Fault::new(gap.code(), gap.to_string()).hint(gap.hint())
    })
}

/// The session's token and what it reads of the repository, as the service says; of a reader also
/// as it said a moment ago, while it is away.
fn admitted(
    session: &Session,
    host: &Host,
    client: &Client,
    operation: Operation,
) -> Result<(Option<SecretString>, AuthenticateOut), Fault> {
    let begun = SystemTime::now();
    let asked = token(session, host, client, operation).and_then(|token| {
        let answer = reading(session, host, client, token.as_ref(), operation)?;
        Ok((token, answer))
    });
    if operation == Operation::Push {
        return Ok(asked?);
    }
    let recent = Recent::of(host, session);
    match asked {
        Ok((token, answer)) => {
            recent.remember(&answer, begun, SystemTime::now());
            Ok((token, answer))
        }
        Err(CallError::Rejected(fault)) => {
            recent.forget(SystemTime::now());
            Err(fault)
        }
        Err(CallError::Failed(fault)) => {
            // That this host is not accepted is an answer.
            let answer = fault.is_outage().then(|| recent.recall(SystemTime::now()));
            let answer = answer.flatten().ok_or_else(|| fault.hint(READ_LATER))?;
            Ok((session.token.clone(), answer))
        }
    }
}

const READ_LATER: &str = "nothing was sent, since only the approval service knows who may read; \
                          try again in a minute, or tell an administrator";

/// What the session reads of the repository, as the service says.
///
/// A push without a token goes on: it may bring one as push option, and is recorded when it
/// does not. The hooks ask again in any case. But whoever pushes is told where refs are, so it
/// goes on only where everybody may read that.
fn reading(
    session: &Session,
    host: &Host,
    client: &Client,
    token: Option<&SecretString>,
    operation: Operation,
) -> Result<AuthenticateOut, CallError> {
    let is_nobody_s_push = token.is_none() && operation == Operation::Push;
    let question = AuthenticateIn {
        repository: host.id,
        operation: if is_nobody_s_push {
            Operation::Fetch
        } else {
            operation
        },
        client_address: session.address.clone(),
        client_agent: None,
        admits_anonymous: is_nobody_s_push,
    };
    let answer: AuthenticateOut = client.call_as(token, AUTHENTICATE, &question)?;
    if is_nobody_s_push && answer.view != View::Whole {
        let text = "no token came with the push, and who reads what depends on it";
        let fault = Fault::new(Code::NoToken, text).hint("send it in REFWARDEN_TOKEN");
        return Err(CallError::Rejected(fault));
    }
    Ok(answer)
}

/// Has git, or what stands in for it, know what its hooks need to.
fn introduce(
    command: &mut Command,
    session: &Session,
    token: Option<&SecretString>,
    asked: &Asked,
) {
    command.env("REFWARDEN_TRANSPORT", "ssh");
    if let Some(protocol) = &session.protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    if let Some(address) = &session.address {
        command.env("REFWARDEN_CLIENT_ADDRESS", address);
    }
    if asked.operation == Operation::Push {
        let push = PushId(uuid::Uuid::now_v7());
        command.env("REFWARDEN_PUSH_ID", push.to_string());
        if let Some(token) = token {
            command.env("REFWARDEN_TOKEN", token.expose_secret());
        }
    }
}

/// Whom a fetch is recorded for.
fn errand(
    session: &Session,
    host: &Host,
    token: Option<&SecretString>,
    answer: AuthenticateOut,
) -> Errand {
    Errand {
        gitdir: host.repository.gitdir.clone(),
        session: fetch::Session {
            repository: host.id,
            transport: "ssh".to_owned(),
            client_address: session.address.clone(),
            client_agent: None,
            actor: answer.actor,
            token_sha256: token.map(|token| hex::encode(Sha256::digest(token.expose_secret()))),
            policy: answer.policy,
            view: None,
            view_before: answer.view_before,
            refs: None,
            keep: answer.keep,
        },
    }
}

/// Has git make packs through the program that records fetches.
fn record(git: &mut Command, errand: &Errand) -> Result<(), Fault> {
    let program = std::env::current_exe().ok();
    let program = program.and_then(|it| for_shell(&it.with_file_name(fetch::PROGRAM)));
    let program = program.ok_or_else(|| Fault::hook("the programs' path is no text"))?;
    let errand =
        serde_json::to_string(errand).map_err(|_| Fault::hook("the session has no JSON form"))?;
    configure(git, &[(fetch::SETTING, &program)]);
    git.env(fetch::ERRAND, errand);
    Ok(())
}

/// The session's token: what the client sent, or what its certificate is traded for.
fn token(
    session: &Session,
    host: &Host,
    client: &Client,
    operation: Operation,
) -> Result<Option<SecretString>, CallError> {
    if let Some(token) = &session.token {
        return Ok(Some(token.clone()));
    }
    let Some(certificate) = &session.certificate else {
        return Ok(None);
    };
    let question = SshTokenIn {
        repository: host.id,
        operation,
        certificate: certificate.clone(),
        client_address: session.address.clone(),
    };
    let answer: SshTokenOut = client.call(SSH_TOKEN, &question)?;
    Ok(Some(SecretString::from(answer.token)))
}
