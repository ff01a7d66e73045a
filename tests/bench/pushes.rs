//! One-commit pushes: without hooks, with three shell hooks that do nothing, and under guard.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use refwarden_testkit::{Repository, Stack, Via, Work};

use crate::matter;
use crate::nginx::Nginx;
use crate::sample::{alternate, table};

/// Enough for a p99.
const ROUNDS: usize = 200;

/// Rounds after which all repositories are repacked, out of the measured time. Each push leaves a
/// pack behind, and git's own housekeeping, which would come in between, is off.
const REPACKED_AFTER: usize = 20;

const NAMES: [&str; 3] = ["no hooks", "three empty shell hooks", "Refwarden"];

/// Measures over a local path and over HTTP.
pub fn measure(stack: &Stack) {
    println!("## Pushes of one commit\n");
    starts(stack);
    for (via, title) in [(Via::Local, "Over a local path"), (Via::Http, "Over HTTP")] {
        eprintln!("pushes, {title}");
        let prefix = if matches!(via, Via::Local) {
            "local"
        } else {
            "http"
        };
        let make = |kind: &str| {
            let repository = Repository::empty(stack, &format!("{prefix}-{kind}"), "sha1");
            matter::history(stack.git(), &repository, 300);
            repository
                .git(&["config", "http.receivepack", "true"])
                .passes();
            repository.git(&["config", "gc.auto", "0"]).passes();
            repository
        };
        let repositories = [make("none"), make("shell"), make("guarded")];
        shell_hooks(&repositories[1]);
        repositories[2].install().passes();
        let nginx = Nginx::start(stack.git(), &stack.started().repositories);
        let works = [
            repositories[0].work(),
            repositories[1].work(),
            repositories[2].work(),
        ];
        let mut count = 0;
        let samples = alternate(&NAMES, ROUNDS, |which| {
            if count % (REPACKED_AFTER * NAMES.len()) == 0 {
                for repository in &repositories {
                    repository.git(&["repack", "-adq"]).passes();
                }
            }
            count += 1;
            let url = match (via, which) {
                (Via::Http, 0 | 1) => nginx.url(&repositories[which].name),
                _ => repositories[which].url(via),
            };
            push(stack, &works[which], &url, count)
        });
        table(title, &samples);
    }
}

/// Sizes of the hooks, and what it takes to start each outside of a push: it reads the host's
/// configuration, sees that it has nothing to do, and ends.
fn starts(stack: &Stack) {
    let repository = Repository::guarded(stack, "starts");
    let shell = Repository::empty(stack, "starts-shell", "sha1");
    shell_hooks(&shell);
    let hook = |repository: &Repository<'_>, name| repository.path.join("hooks").join(name);
    let hooks = ["pre-receive", "reference-transaction", "post-receive"];
    let mut programs = vec![("an empty shell hook", hook(&shell, hooks[0]))];
    programs.extend(hooks.map(|name| (name, hook(&repository, name))));
    println!("### The hooks themselves\n\n| what | bytes |\n|---|---|");
    for (name, program) in &programs[1..] {
        println!("| {name} | {} |", std::fs::metadata(program).unwrap().len());
    }
    println!();
    let names: Vec<&str> = programs.iter().map(|(name, _)| *name).collect();
    let samples = alternate(&names, ROUNDS, |which| {
        let mut command = Command::new(&programs[which].1);
        command
            .arg("committed")
            .current_dir(&repository.path)
            .env("GIT_DIR", ".")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let begun = Instant::now();
        command.status().unwrap();
        begun.elapsed()
    });
    table("From start to end, outside of a push", &samples);
}

fn shell_hooks(repository: &Repository<'_>) {
    for hook in ["pre-receive", "reference-transaction", "post-receive"] {
        let path = repository.path.join("hooks").join(hook);
        std::fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// One push of one commit that changes one file. Commit and token are made beforehand. All
/// competitors are sent the token, so that all have the same number of requests.
fn push(stack: &Stack, work: &Work<'_>, url: &str, count: usize) -> Duration {
    work.commit(
        &[(b"changed", format!("version {count}\n").as_bytes())],
        "Change",
    );
    let token = stack.token("ada");
    let header = format!("http.extraHeader=Authorization: Bearer {token}");
    let git = work.git.with("REFWARDEN_TOKEN", &token);
    let begun = Instant::now();
    git.run(
        work.path(),
        &["-c", &header, "push", "-q", url, "HEAD:refs/heads/topic"],
    )
    .passes();
    begun.elapsed()
}
