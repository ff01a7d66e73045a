//! A private Postgres cluster: in the data directory, reached by a socket only, never as root.
//!
//! It listens on no network address. Its socket stands in a directory that only its owner may
//! enter, so whoever gets there is trusted. `fsync` and `synchronous_commit` stay on.

mod account;
mod programs;

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use self::account::Account;
use self::programs::Programs;
use super::ProcessId;
use super::part::Log;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::{DataDir, make_dir, write_file};

/// The name of the database and of its owner.
const NAME: &str = "refwarden";
/// The role as which the service runs.
const APP: &str = "refwarden_app";
/// `sun_path` holds 108 bytes (unix(7)), of which `/.s.PGSQL.5432` needs 15.
const LONGEST_SOCKET_DIR: usize = 90;
/// A crash may have left much to replay.
const START: Duration = Duration::from_mins(2);
const STOP: Duration = Duration::from_mins(1);

/// The cluster of a data directory.
pub struct Postgres<'a> {
    dir: &'a DataDir,
    socket_dir: PathBuf,
}

impl<'a> Postgres<'a> {
    /// Names the cluster of `dir`; its socket moves to a short path where it must.
    pub fn new(dir: &'a DataDir) -> Outcome<Self> {
        Ok(Self {
            dir,
            socket_dir: socket_dir(dir)?,
        })
    }

    /// Whether the data directory has a cluster of its own.
    pub fn exists(dir: &DataDir) -> bool {
        dir.cluster().join("PG_VERSION").exists()
    }

    /// The URL of its database, as the owner of everything.
    pub fn url(&self) -> String {
        self.url_as(NAME)
    }

    /// The URL of its database, as the service uses it.
    pub fn app_url(&self) -> String {
        self.url_as(APP)
    }

    fn url_as(&self, role: &str) -> String {
        let host: String =
            url::form_urlencoded::byte_serialize(self.socket_dir.as_os_str().as_encoded_bytes())
                .collect::<String>()
                .replace('+', "%20");
        format!("postgresql:///{NAME}?host={host}&user={role}")
    }

    /// The postmaster, if it runs.
    pub fn running(dir: &DataDir) -> Option<ProcessId> {
        let text = std::fs::read_to_string(dir.cluster().join("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        // The file outlives a crash, and its process id may be somebody else's by now.
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = dir.cluster();
        let mut words = command.split(|&byte| byte == 0);
        words
            .any(|word| word == ours.as_os_str().as_encoded_bytes())
            .then(|| ProcessId::of(pid))
            .flatten()
    }

    /// Makes the cluster if there is none, and starts it.
    pub fn start(&self) -> Outcome<Child> {
        let cluster = self.dir.cluster();
        let version = std::fs::read_to_string(cluster.join("PG_VERSION")).ok();
        let programs = Programs::find(version.as_deref().map(str::trim))?;
        let account = self.account()?;
        if version.is_none() {
            self.create(&programs, account.as_ref())?;
        }
        self.clear_stale_lock()?;
        let log = Log::open(self.dir.log("postgres"))?;
        let (out, err) = log.both()?;
        let socket = format!("unix_socket_directories={}", self.quoted_socket_dir());
        let mut command = account::command(account.as_ref(), &programs.postgres());
        command.arg("-D").arg(&cluster);
        for setting in [
            "listen_addresses=",
            &socket,
            "unix_socket_permissions=0700",
            "fsync=on",
            "synchronous_commit=on",
            "logging_collector=off",
            "log_destination=stderr",
        ] {
            command.arg("-c").arg(setting);
        }
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .context(|| "Postgres cannot be started".to_owned())?;
        self.wait_ready(&mut child).map_err(|why| {
            Failure::new(format!("Postgres does not run: {why}"))
                .why(log.told())
                .next("mend what the log names, or set DATABASE_URL to use another server")
        })?;
        Ok(child)
    }

    /// Stops the cluster of a data directory; says whether it ran.
    pub fn stop(dir: &DataDir, mut reap: impl FnMut()) -> bool {
        let Some(process) = Self::running(dir) else {
            return false;
        };
        // SIGINT is the fast shutdown, SIGQUIT the immediate one (postgres(1)).
        process.signal(Signal::INT);
        if !process.wait_gone(STOP, &mut reap) {
            eprintln!("Postgres does not stop; stopping it at once");
            process.signal(Signal::QUIT);
            process.wait_gone(STOP, &mut reap);
        }
        true
    }

    /// After a crash, postmaster.pid names a process that is no postmaster: a zombie for a
    /// moment, or somebody else who was given the number. Postgres refuses to start as long as
    /// there is any. The file goes once no process works in the cluster's directory.
    fn clear_stale_lock(&self) -> Outcome<()> {
        let file = self.dir.cluster().join("postmaster.pid");
        let Ok(text) = std::fs::read_to_string(&file) else {
            return Ok(());
        };
        let pid = text.lines().next().unwrap_or_default().trim();
        let process = Path::new("/proc").join(pid);
        let start = Instant::now();
        while process.exists() || self.is_worked_in() {
            if start.elapsed() >= Duration::from_secs(5) {
                if self.is_worked_in() {
                    // Postgres knows best what that means, and says it.
                    return Ok(());
                }
                return std::fs::remove_file(&file)
                    .context(|| format!("{} cannot be removed", file.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Every process of a cluster has its directory for current directory.
    fn is_worked_in(&self) -> bool {
        let cluster = self.dir.cluster();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
            .any(|directory| directory == cluster)
    }

    fn account(&self) -> Outcome<Option<Account>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        Account::choose(self.dir.root()).map(Some)
    }

    fn create(&self, programs: &Programs, account: Option<&Account>) -> Outcome<()> {
        // Under another name until it is complete. What stands there was interrupted.
        let cluster = self.dir.join("postgres.new");
        if cluster.exists() {
            std::fs::remove_dir_all(&cluster)
                .context(|| format!("{} cannot be removed", cluster.display()))?;
        }
        make_dir(&cluster, 0o700)?;
        for path in [&cluster, &self.socket_dir] {
            if let Some(account) = account {
                std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
                    .context(|| format!("{} cannot be given away", path.display()))?;
            }
        }
        let mut command = account::command(account, &programs.initdb());
        command
            .arg("-D")
            .arg(&cluster)
            .args(["-U", NAME, "-A", "trust", "-E", "UTF8", "--locale=C"])
            .current_dir("/");
        run(command, "", "the Postgres cluster cannot be made")?;
        let mut command = account::command(account, &programs.postgres());
        command
            .arg("--single")
            .arg("-D")
            .arg(&cluster)
            .arg("postgres")
            .current_dir("/");
        // One line is one statement to a single-user backend.
        let statements = format!(
            "CREATE DATABASE {NAME};\nCREATE ROLE {APP} LOGIN;\nCREATE ROLE refwarden_auditor LOGIN;\n"
        );
        run(command, &statements, "the database cannot be made")?;
        std::fs::rename(&cluster, self.dir.cluster())
            .context(|| format!("{} cannot be renamed", cluster.display()))
    }

    /// The setting is a list, in which a quoted item may hold commas and spaces.
    fn quoted_socket_dir(&self) -> String {
        let text = self.socket_dir.to_string_lossy();
        format!("\"{}\"", text.replace('"', "\"\""))
    }

    /// The eighth line of postmaster.pid says when connections are taken.
    fn wait_ready(&self, child: &mut Child) -> Result<(), String> {
        let file = self.dir.cluster().join("postmaster.pid");
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let mut lines = text.lines();
            let ours = lines
                .next()
                .is_some_and(|pid| pid.trim() == child.id().to_string());
            if ours && lines.nth(6).is_some_and(|status| status.trim() == "ready") {
                return Ok(());
            }
            if start.elapsed() >= START {
                return Err(format!("not ready after {} s", START.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// `run/postgres`, or where that is too long for a socket a directory under `/tmp`, which
/// `run/socket-dir` remembers.
fn socket_dir(dir: &DataDir) -> Outcome<PathBuf> {
    let usual = dir.join("run").join("postgres");
    if usual.as_os_str().len() <= LONGEST_SOCKET_DIR {
        make_dir(&usual, 0o700)?;
        return Ok(usual);
    }
    let record = dir.join("run").join("socket-dir");
    if let Ok(text) = std::fs::read_to_string(&record) {
        let path = PathBuf::from(text.trim_end());
        // Nothing else made it: it is still there, or can be made as it was.
        if path.is_dir() || private_dir(&path).is_ok() {
            return Ok(path);
        }
    }
    let path = Path::new("/tmp").join(format!("refwarden-{}", uuid::Uuid::new_v4().simple()));
    private_dir(&path).context(|| format!("{} cannot be made", path.display()))?;
    write_file(&record, 0o644, &format!("{}\n", path.display()))?;
    Ok(path)
}

/// Fails if anything stands there already, a symbolic link included.
fn private_dir(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

fn run(mut command: std::process::Command, input: &str, what: &str) -> Outcome<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(|| what.to_owned())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .context(|| what.to_owned())?;
    }
    let output = child.wait_with_output().context(|| what.to_owned())?;
    // A single-user backend ends with 0 whatever its statements come to.
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !said.contains("ERROR:") {
        return Ok(());
    }
    let lines: Vec<&str> = said.lines().rev().take(12).collect();
    let said: Vec<&str> = lines.into_iter().rev().collect();
    Err(Failure::new(what)
        .why(format!(
            "it ended with {}\n{}",
            output.status,
            said.join("\n")
        ))
        .next("mend what it names, or set DATABASE_URL to use another server"))
}
