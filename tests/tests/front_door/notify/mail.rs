//! A real mail server: aiosmtpd, which `install/bootstrap.sh --for-tests` installs.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use refwarden_testkit::run;
use serde_json::Value;

/// A running mail server. It ends with its standard input, so with this process too.
pub struct MailServer {
    /// Its port, on 127.0.0.1.
    pub port: u16,
    out: PathBuf,
    _child: Child,
}

/// A certificate for `localhost`, signed by itself, and its key.
pub struct Certificate {
    pub file: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one.
    #[track_caller]
    pub fn make(directory: &Path) -> Self {
        let (file, key) = (directory.join("smtp.pem"), directory.join("smtp.key"));
        let mut command = Command::new("openssl");
        command
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&file)
            .arg("-keyout")
            .arg(&key);
        run(command, b"").passes();
        Self { file, key }
    }
}

impl MailServer {
    /// One without TLS.
    #[track_caller]
    pub fn plain(directory: &Path) -> Self {
        Self::start(directory.join("plain.jsonl"), &[])
    }

    /// One that insists on STARTTLS and on an account.
    #[track_caller]
    pub fn guarded(directory: &Path, own: &Certificate, user: &str, password: &Path) -> Self {
        let more = [&own.file, &own.key, Path::new(user), password];
        Self::start(directory.join("guarded.jsonl"), &more)
    }

    #[track_caller]
    fn start(out: PathBuf, more: &[&Path]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/front_door/notify/smtp.py");
        let mut child = Command::new(python())
            .arg(script)
            .arg(&out)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let port = line.trim().parse();
        Self {
            port: port.unwrap_or_else(|_| panic!("the mail server does not start: {line:?}")),
            out,
            _child: child,
        }
    }

    /// What it took so far.
    pub fn taken(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.out).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// A Python that has aiosmtpd: the distribution's, or the first one.
#[track_caller]
fn python() -> &'static str {
    let has = |python: &&str| {
        let mut command = Command::new(python);
        command
            .args(["-c", "import aiosmtpd"])
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(has);
    found.unwrap_or_else(|| panic!("no aiosmtpd; run install/bootstrap.sh --for-tests"))
}

/// Mail that holds a text: recipients, sorted.
pub fn recipients(server: &MailServer, text: &str) -> Vec<String> {
    let about = |mail: &&Value| plain(mail).contains(text);
    let to = |mail: &Value| mail["to"][0].as_str().unwrap().to_owned();
    let mut found: Vec<String> = server.taken().iter().filter(about).map(to).collect();
    found.sort();
    found
}

/// A mail's text without what quoted-printable adds.
pub fn plain(mail: &Value) -> String {
    let content = mail["content"].as_str().unwrap();
    content
        .replace("=\r\n", "")
        .replace("=3D", "=")
        .replace("\r\n ", " ")
}
