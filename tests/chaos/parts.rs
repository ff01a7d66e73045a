//! The running Refwarden, with a relay before its database, whose parts are started again as they
//! were when they have been killed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use refwarden_testkit::{Stack, within};
use reqwest::blocking::Client;
use rustix::process::Signal;

use crate::processes::{self, signal, wait};
use crate::relay::Relay;

/// How long a part may take to answer again.
const RECOVERY: Duration = Duration::from_secs(30);

/// Everything that runs.
pub struct Parts {
    /// The stack.
    pub stack: Stack,
    /// What the service reaches its database through.
    pub relay: Relay,
    http: Client,
    commands: BTreeMap<&'static str, Started>,
    children: RefCell<BTreeMap<&'static str, Child>>,
}

/// How a part was started.
struct Started {
    program: PathBuf,
    arguments: Vec<String>,
    uid: u32,
    gid: u32,
}

impl Parts {
    /// Starts everything, and puts the relay before the database.
    pub fn start() -> Self {
        let mut stack = Stack::start();
        let url = stack.started().database_url.clone();
        let socket = url
            .split(['?', '&'])
            .find_map(|it| it.strip_prefix("host="));
        let socket = socket.unwrap().replace("%2F", "/");
        let relay = Relay::start(&PathBuf::from(socket).join(".s.PGSQL.5432"));
        let file = stack.directory().join("refwarden.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let through = format!(
            "url = \"postgresql://refwarden_app@127.0.0.1:{}/refwarden?sslmode=disable&gssencmode=disable\"",
            relay.port()
        );
        let lines = text.lines().map(|line| {
            if line.starts_with("url = \"postgresql:") {
                &through
            } else {
                line
            }
        });
        let text: Vec<&str> = lines.collect();
        std::fs::write(&file, text.join("\n") + "\n").unwrap();
        // The private server takes local connections without a password, and those of the relay
        // are local.
        stack.restart();
        let http = Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .unwrap();
        let commands = ["service", "proxy", "postgres"]
            .map(|part| (part, Started::of(pid(&stack, part))))
            .into_iter()
            .collect();
        Self {
            stack,
            relay,
            http,
            commands,
            children: RefCell::default(),
        }
    }

    /// The process id of a part.
    pub fn pid(&self, part: &'static str) -> u32 {
        let children = self.children.borrow();
        children
            .get(part)
            .map_or_else(|| pid(&self.stack, part), Child::id)
    }

    /// Kills a part, and waits for nothing.
    pub fn kill(&self, part: &'static str) -> bool {
        signal(self.pid(part), Signal::KILL)
    }

    /// Stops every process of Postgres, or lets them go on.
    pub fn stop_postgres(&self, how: Signal) {
        let postmaster = self.pid("postgres");
        let all = processes::children(postmaster);
        for pid in std::iter::once(postmaster).chain(all) {
            signal(pid, how);
        }
    }

    /// Starts a part again that was killed.
    pub fn revive(&self, part: &'static str) {
        let old = self.pid(part);
        within("a killed part has gone", RECOVERY, || {
            if let Some(child) = self.children.borrow_mut().get_mut(part) {
                let _ = child.try_wait();
            }
            !processes::is_running(old)
        });
        let directory = self.stack.directory().to_owned();
        let cluster = directory.join("postgres");
        if part == "postgres" {
            within("Postgres has ended", RECOVERY, || {
                processes::working_in(&cluster).is_empty()
            });
            let _ = std::fs::remove_file(cluster.join("postmaster.pid"));
            // As long as nobody has waited for the old one, its number is taken, and Postgres believes
            // this file.
            let lock = directory.join("run/postgres/.s.PGSQL.5432.lock");
            let _ = std::fs::remove_file(lock);
        }
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(directory.join(format!("log/{part}.log")))
            .unwrap();
        let child = self.commands[part].command(log).spawn().unwrap();
        if part != "postgres" {
            // As `refwarden up` does, so that it is stopped in the end.
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            let fields = stat.rsplit_once(") ").unwrap().1;
            let ticks = fields.split(' ').nth(19).unwrap();
            let text = format!("{} {ticks}\n", child.id());
            std::fs::write(directory.join(format!("run/{part}.pid")), text).unwrap();
        }
        self.children.borrow_mut().insert(part, child);
    }

    /// The last errors of the logs.
    pub fn faults(&self) -> Vec<String> {
        let logs = self.stack.logs();
        let lines = logs.lines().filter(|line| line.contains("ERROR"));
        let mut last: Vec<String> = lines.rev().take(8).map(str::to_owned).collect();
        last.reverse();
        last
    }

    /// Whether service, proxy and database answer, within a time.
    pub fn answer(&self) -> bool {
        let started = self.stack.started();
        let urls = [
            format!("{}/readyz", started.service_url),
            format!("{}/livez", started.proxy_url),
        ];
        wait(RECOVERY, || {
            urls.iter().all(|url| {
                let answer = self.http.get(url).send();
                answer.is_ok_and(|answer| answer.status().is_success())
            })
        })
    }
}

fn pid(stack: &Stack, part: &str) -> u32 {
    u32::try_from(stack.pid(part)).unwrap()
}

impl Started {
    fn of(pid: u32) -> Self {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let command = String::from_utf8(command).unwrap();
        let mut words = command.split_terminator('\0').map(str::to_owned);
        words.next();
        let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap();
        Self {
            program: std::fs::read_link(format!("/proc/{pid}/exe")).unwrap(),
            arguments: words.collect(),
            uid: owner.uid(),
            gid: owner.gid(),
        }
    }

    fn command(&self, log: std::fs::File) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        if !rustix::process::geteuid().is_root() {
            return command;
        }
        command.uid(self.uid).gid(self.gid);
        command
    }
}
