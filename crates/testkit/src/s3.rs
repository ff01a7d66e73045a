//! An S3 server that checks signatures (`PyPI` `moto`), on loopback, pinned in `tests/s3/` and
//! installed beside the tests, once.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::blocking::Client;
use rustix::process::{Pid, Signal, kill_process};

/// Its files.
const FILES: [(&str, &str); 2] = [
    (
        "requirements.txt",
        include_str!("../../../tests/s3/requirements.txt"),
    ),
    ("serve.py", include_str!("../../../tests/s3/serve.py")),
];

/// The bucket that there is, unless said otherwise.
const BUCKET: &str = "packs";

/// A running server with one bucket. Ends when it is dropped, and with this process.
pub struct S3 {
    child: Child,
    port: u16,
    id: String,
    secret: String,
}

impl S3 {
    /// Starts one with a user who may put, get and delete, and nothing else.
    #[track_caller]
    pub fn start(id: &str, secret: &str) -> Self {
        let (child, port) = begin(0, BUCKET, id, secret);
        Self {
            child,
            port,
            id: id.to_owned(),
            secret: secret.to_owned(),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What is stored: SHA-256 by key.
    #[track_caller]
    pub fn objects(&self) -> BTreeMap<String, String> {
        let asked = client().get(format!("{}/test/objects", self.url()));
        asked.send().unwrap().json().unwrap()
    }

    /// Has it misbehave from now on, in one of the ways of `serve.py`, or not any more.
    #[track_caller]
    pub fn misbehave(&self, mode: &str) {
        let asked = client().post(format!("{}/test/mode", self.url()));
        let answer = asked.body(mode.to_owned()).send().unwrap();
        assert!(answer.status().is_success(), "{mode}");
    }

    /// Stops it, so that it takes connections and says nothing.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Has it go on.
    #[track_caller]
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it. What it stored is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts another in its place.
    #[track_caller]
    pub fn again(&mut self) {
        let secret = self.secret.clone();
        self.again_with(BUCKET, &secret);
    }

    /// Kills it and starts another in its place, with another bucket or another secret of the same user.
    #[track_caller]
    pub fn again_with(&mut self, bucket: &str, secret: &str) {
        self.kill();
        let (child, port) = begin(self.port, bucket, &self.id, secret);
        assert_eq!(port, self.port);
        self.child = child;
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client() -> Client {
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30));
    client.build().unwrap()
}

#[track_caller]
fn begin(port: u16, bucket: &str, id: &str, secret: &str) -> (Child, u16) {
    let directory = installed();
    let mut child = Command::new(directory.join("python/bin/python"))
        .arg(directory.join("serve.py"))
        .args([&port.to_string(), bucket])
        .env("KEY_ID", id)
        .env("SECRET", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let port = line.trim().parse();
    let port = port.unwrap_or_else(|_| panic!("serve.py did not start: {line:?}"));
    (child, port)
}

/// Installs it beside the tests, once.
#[track_caller]
fn installed() -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = std::env::current_exe().unwrap();
    let release = here.ancestors().find(|it| it.join("refwarden").is_file());
    let directory = release.unwrap().join("s3-server");
    let is_there = |(name, text): &(&str, &str)| {
        std::fs::read_to_string(directory.join(name)).is_ok_and(|found| found == *text)
    };
    let done = directory.join(".done");
    if FILES.iter().all(is_there) && done.exists() {
        return directory;
    }
    std::fs::create_dir_all(&directory).unwrap();
    for (name, text) in FILES {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let step = |program: PathBuf, arguments: &[&str]| {
        let mut command = Command::new(&program);
        let ended = command.args(arguments).current_dir(&directory).output();
        let ended = ended.unwrap_or_else(|error| {
            panic!("{}: {error}; see install/bootstrap.sh", program.display())
        });
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    };
    step("python3".into(), &["-m", "venv", "--clear", "python"]);
    let requirements = ["-r", "requirements.txt"];
    let install = ["-q", "install", "--only-binary", ":all:"];
    step(
        directory.join("python/bin/pip"),
        &[&install[..], &requirements].concat(),
    );
    std::fs::write(done, "").unwrap();
    directory
}
