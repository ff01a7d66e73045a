//! The running Refwarden, with a relay before its database, whose parts are started again as they
//! were when they have been killed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use refwarden_testkit::{Stack, within};
use reqwest::blocking::Client;
use rustix::process::Signal;

use crate::disks::Disks;
use crate::link::Link;
use crate::masked::{self, Masked};
use crate::plan::Disk;
use crate::processes::{self, signal, wait};
use crate::relay::{Mode, Relay};

/// How long a part may take to answer again.
const RECOVERY: Duration = Duration::from_secs(30);

/// Everything that runs.
pub struct Parts {
    /// Cable and disks of one's own, where there are any. Gone before the stack's directory is removed.
    apart: Option<Apart>,
    /// The stack.
    pub stack: Stack,
    /// What the service reaches its database through.
    pub relay: Relay,
    /// What is read through a masked view, where policy has one.
    pub masked: Option<Masked>,
    http: Client,
    commands: BTreeMap<&'static str, Started>,
    children: RefCell<BTreeMap<&'static str, Child>>,
}

struct Apart {
    link: Link,
    disks: Disks,
}

/// How a part was started.
struct Started {
    pid: u32,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    uid: u32,
    gid: u32,
}

impl Parts {
    /// Starts everything, and puts the relay before the database; with a network and disks of its own
    /// where `apart`, and readers of a masked view where `masked`. `number` tells it from others of
    /// this process.
    pub fn start(number: u8, apart: bool, masked: bool) -> Self {
        let mut stack = Stack::start();
        let url = stack.started().database_url.clone();
        let socket = url
            .split(['?', '&'])
            .find_map(|it| it.strip_prefix("host="));
        let socket = PathBuf::from(socket.unwrap().replace("%2F", "/"));
        let apart = apart.then(|| {
            stack.refwarden(&["down"]).passes();
            Apart {
                link: Link::new(number),
                disks: disks(&mut stack),
            }
        });
        let link = apart.as_ref().map(|it| &it.link);
        let relay = Relay::start(&socket.join(".s.PGSQL.5432"), link);
        let file = stack.directory().join("refwarden.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let through = format!(
            "url = \"postgresql://refwarden_app@{}/refwarden?sslmode=disable&gssencmode=disable\"",
            relay.address()
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
        if masked {
            let file = stack.directory().join("policy.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, text + masked::POLICY).unwrap();
        }
        // The private server takes local connections without a password, and those of the relay
        // are local.
        stack.restart();
        let masked = masked.then(|| Masked::plant(&stack));
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
            masked,
            apart,
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
            .map_or_else(|| self.commands[part].pid, Child::id)
    }

    /// Pulls the cable between service and database out.
    pub fn unplug(&self) {
        if let Some(apart) = &self.apart {
            apart.link.unplug();
        }
    }

    /// Leaves no room on a disk, and sees to it that some is needed.
    pub fn fill(&self, disk: Disk) {
        if let Some(apart) = &self.apart {
            apart.disks.fill(disk);
        }
        match disk {
            Disk::Spool => self.relay.fail(Mode::Refuse),
            Disk::Log => self.use_up_log(),
            _ => {}
        }
    }

    /// Writes to Postgres's log until there is no segment left that it has made beforehand.
    fn use_up_log(&self) {
        let write = "SELECT pg_logical_emit_message(false, 'chaos', repeat('x', 16 << 20))";
        let url = &self.stack.started().database_url;
        let written = || {
            let mut psql = Command::new("psql");
            psql.args(["-X", "-q", "-c", write, url]);
            psql.stdout(Stdio::null()).stderr(Stdio::null());
            psql.status().is_ok_and(|status| status.success())
        };
        while written() {}
    }

    /// Plugs in, makes room, and ends what the relay does. Silent connections go on, or are reset.
    pub fn mend(&self, resumes: bool) {
        if let Some(apart) = &self.apart {
            apart.disks.free();
            apart.link.plug();
        }
        self.relay.mend(resumes);
        self.stop_postgres(Signal::CONT);
    }

    /// Whether a part runs.
    pub fn is_running(&self, part: &'static str) -> bool {
        processes::is_running(self.pid(part))
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

impl Drop for Parts {
    fn drop(&mut self) {
        // Before the disks go.
        let _ = self.stack.refwarden(&["down"]);
    }
}

fn disks(stack: &mut Stack) -> Disks {
    let directory = stack.directory().to_owned();
    let temporary = directory.join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let all = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(&temporary, all).unwrap();
    stack.keep_temporary_files_in(&temporary);
    Disks::mount([
        (Disk::Database, directory.join("postgres")),
        (Disk::Packs, directory.join("packs")),
        (Disk::Spool, directory.join("spool")),
        (Disk::Repository, stack.started().repositories.clone()),
        (Disk::Temporary, temporary),
    ])
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
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8(environment).unwrap();
        let pairs = environment.split_terminator('\0');
        let pairs = pairs.filter_map(|it| it.split_once('='));
        Self {
            pid,
            environment: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
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
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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
