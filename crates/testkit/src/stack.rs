//! The real thing: Postgres, service and proxy, started by `refwarden up` in a directory of
//! their own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;
use crate::browser::Browser;
use crate::git::Git;
use crate::planted;
use crate::run::{Outcome, run};

/// What `refwarden up --json` says.
#[derive(Clone, Debug)]
pub struct Started {
    /// The service's URL.
    pub service_url: String,
    /// The proxy's URL.
    pub proxy_url: String,
    /// The database's URL.
    pub database_url: String,
    /// Where repositories are served from.
    pub repositories: PathBuf,
}

/// A running Refwarden. Stopped, and its directory removed, when it is dropped and when this
/// process ends however it ends.
pub struct Stack {
    directory: PathBuf,
    started: Started,
    /// Reads from a pipe that ends with this process.
    reaper: Option<Child>,
    _work: TempDir,
    git: Git,
}

/// How often the reconciler looks by itself while a test decides when it does.
const SELDOM: &str = "1d";

/// A program that was built beside the tests.
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let found = here
        .ancestors()
        .map(|it| it.join(name))
        .find(|it| it.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built; run make, or cargo build --release"))
}

impl Stack {
    /// Starts one.
    #[track_caller]
    pub fn start() -> Self {
        Self::reconciling(SELDOM)
    }

    /// Starts one whose reconciler looks as often as said, for example `1s`.
    #[track_caller]
    pub fn reconciling(every: &str) -> Self {
        Self::begin(every, None)
    }

    /// Starts one in a database of a server that is there already.
    #[track_caller]
    pub fn on_server(database_url: &str) -> Self {
        Self::begin(SELDOM, Some(database_url))
    }

    #[track_caller]
    fn begin(every: &str, database_url: Option<&str>) -> Self {
        let work = tempfile::Builder::new()
            .prefix("refwarden-test-")
            .tempdir()
            .unwrap();
        open_to_all(work.path());
        let home = work.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let directory = work.path().join("data");
        let reaper = reaper(work.path(), &directory);
        let git = Git::new(&home);
        let started = match database_url {
            None => up(&git, &directory, every),
            Some(url) => up(&git.with("DATABASE_URL", url), &directory, every),
        };
        let running = (directory.clone(), started.database_url.clone());
        RUNNING.lock().unwrap().push(running);
        Self {
            directory,
            started,
            reaper: Some(reaper),
            _work: work,
            git,
        }
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where things are.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// git, hermetic.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Runs `refwarden` with arguments, and `--data-dir` after the first.
    #[track_caller]
    pub fn refwarden(&self, arguments: &[&str]) -> Outcome {
        refwarden(&self.git, &self.directory, SELDOM, arguments)
    }

    /// The same as a command, for what runs beside the test.
    pub fn refwarden_command(&self, arguments: &[&str]) -> Command {
        refwarden_command(&self.git, &self.directory, SELDOM, arguments)
    }

    /// Everything that is started from now on keeps its temporary files in a directory.
    pub fn keep_temporary_files_in(&mut self, directory: &Path) {
        self.git = self.git.with("TMPDIR", &directory.display().to_string());
    }

    /// Stops and starts everything.
    #[track_caller]
    pub fn restart(&mut self) {
        self.refwarden(&["down"]).passes();
        self.started = up(&self.git, &self.directory, SELDOM);
    }

    /// A token of an agent that acts for a person, good for ten minutes.
    #[track_caller]
    pub fn token(&self, person: &str) -> String {
        self.token_as("agent", person, "10m")
    }

    /// A token.
    #[track_caller]
    pub fn token_as(&self, client: &str, person: &str, lifetime: &str) -> String {
        let arguments = ["token", "--as", client, "--for", person, "--ttl", lifetime];
        self.refwarden(&arguments).passes().text()
    }

    /// The API as a person.
    #[track_caller]
    pub fn api(&self, person: &str) -> Api {
        Api::new(
            &self.started.service_url,
            &self.token_as("operator", person, "1h"),
        )
    }

    /// A browser in which a person has signed in.
    #[track_caller]
    pub fn browser(&self, person: &str) -> Browser {
        let mut browser = Browser::new();
        browser.sign_in(&self.started.service_url, person, &self.password(person));
        browser
    }

    /// A person's password at the quick start's identity provider.
    #[track_caller]
    pub fn password(&self, person: &str) -> String {
        let text = std::fs::read_to_string(self.directory.join("identities.toml")).unwrap();
        let identities: toml::Value = toml::from_str(&text).unwrap();
        let users = identities["user"].as_array().unwrap();
        let user = users
            .iter()
            .find(|user| user["name"].as_str() == Some(person));
        user.unwrap()["password"].as_str().unwrap().to_owned()
    }

    /// The process id of `service`, `proxy` or `postgres`.
    #[track_caller]
    pub fn pid(&self, part: &str) -> i32 {
        let file = match part {
            "postgres" => self.directory.join("postgres/postmaster.pid"),
            _ => self.directory.join(format!("run/{part}.pid")),
        };
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let first = text.split_whitespace().next().unwrap_or_default();
        first
            .parse()
            .unwrap_or_else(|_| panic!("{}: {text}", file.display()))
    }

    /// Kills a part with SIGKILL and waits until it has gone.
    #[track_caller]
    pub fn kill(&self, part: &str) {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = self.pid(part);
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        crate::wait::within("a killed process has gone", Duration::from_secs(10), || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            // A zombie that nobody reaps has gone too.
            stat.map_or(true, |stat| stat.contains(") Z "))
        });
    }

    /// Every log that was written, as text.
    pub fn logs(&self) -> String {
        let entries = std::fs::read_dir(self.directory.join("log")).unwrap();
        let texts = entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        texts
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .collect()
    }
}

/// Stacks that run in this process: data directory and database.
static RUNNING: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());

/// The data directories and databases of the stacks that this process runs.
pub fn running() -> Vec<(PathBuf, String)> {
    RUNNING.lock().unwrap().clone()
}

impl Drop for Stack {
    fn drop(&mut self) {
        RUNNING
            .lock()
            .unwrap()
            .retain(|(directory, _)| *directory != self.directory);
        if !std::thread::panicking() {
            planted::look_through(&self.directory);
        }
        if let Some(mut reaper) = self.reaper.take() {
            drop(reaper.stdin.take());
            let _ = reaper.wait();
        }
    }
}

#[track_caller]
fn up(git: &Git, directory: &Path, every: &str) -> Started {
    let outcome = refwarden(git, directory, every, &["up", "--detach", "--json"]).passes();
    let said: Value = serde_json::from_str(&outcome.text())
        .unwrap_or_else(|error| panic!("up --json printed no JSON: {error}: {outcome}"));
    let text = |name: &str| {
        let value = said[name].as_str();
        value
            .unwrap_or_else(|| panic!("up --json says no {name}: {said}"))
            .to_owned()
    };
    Started {
        service_url: text("service_url"),
        proxy_url: text("proxy_url"),
        database_url: text("database_url"),
        repositories: text("repositories_dir").into(),
    }
}

#[track_caller]
fn refwarden(git: &Git, directory: &Path, every: &str, arguments: &[&str]) -> Outcome {
    run(refwarden_command(git, directory, every, arguments), b"")
}

fn refwarden_command(git: &Git, directory: &Path, every: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("refwarden"));
    command.env_clear();
    git.environment(&mut command);
    command.env("REFWARDEN_DATA_DIR", directory).args(arguments);
    // Tests reconcile when they want to; the periodic run is tested with a stack of its own.
    command.env("REFWARDEN_RECONCILE_EVERY", every);
    command
}

/// A process that waits for the end of this one, stops what was started and removes its
/// directory. In a process group of its own, so that Ctrl-C does not stop it.
fn reaper(work: &Path, directory: &Path) -> Child {
    use std::os::unix::process::CommandExt as _;
    Command::new("sh")
        .arg("-c")
        .arg("cat >/dev/null; \"$0\" down --data-dir \"$1\"; rm -rf \"$2\"")
        .arg(program("refwarden"))
        .arg(directory)
        .arg(work)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Lets the account under which Postgres runs pass through.
fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}
