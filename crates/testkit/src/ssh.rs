//! A real sshd, on a port and with keys of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::run::{Outcome, run};
use crate::wait::within;

/// A running sshd that lets this user in, and takes `REFWARDEN_TOKEN` along.
pub struct Sshd {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl Sshd {
    /// Starts one, as root or as an ordinary user.
    #[track_caller]
    pub fn start() -> Self {
        Self::configured(|_| Vec::new())
    }

    /// Starts one that lets in whom an authority of its own certifies for `principals`, too, and
    /// runs `refwarden-shell` for everybody.
    #[track_caller]
    pub fn with_shell(root: &Path, principals: &[&str]) -> Self {
        let shell = crate::stack::program("refwarden-shell");
        let command = format!("{} --root {}", shell.display(), root.display());
        Self::configured(|directory| {
            let file = directory.join("principals");
            std::fs::write(&file, principals.join("\n") + "\n").unwrap();
            for name in ["authority", "stranger"] {
                make_key(&directory.join(name));
            }
            let keys = ["authority.pub", "stranger.pub"];
            let keys = keys.map(|name| std::fs::read_to_string(directory.join(name)).unwrap());
            std::fs::write(directory.join("authorities"), keys.concat()).unwrap();
            vec![
                format!("ForceCommand {command}"),
                "ExposeAuthInfo yes".to_owned(),
                "AcceptEnv GIT_PROTOCOL".to_owned(),
                format!(
                    "TrustedUserCAKeys {}",
                    directory.join("authorities").display()
                ),
                format!("AuthorizedPrincipalsFile {}", file.display()),
            ]
        })
    }

    #[track_caller]
    fn configured(more: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let program = find("sshd");
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for key in ["host", "user"] {
            make_key(&path(key));
        }
        std::fs::copy(path("user.pub"), path("authorized_keys")).unwrap();
        // Where sshd drops its privileges; only root needs it, and only root can make it.
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let search = std::env::var("PATH").unwrap_or_default();
        let mut lines = vec![
            format!("Port {port}"),
            "ListenAddress 127.0.0.1".to_owned(),
            format!("HostKey {}", path("host").display()),
            format!("AuthorizedKeysFile {}", path("authorized_keys").display()),
            "PidFile none".to_owned(),
            "UsePAM no".to_owned(),
            "StrictModes no".to_owned(),
            "PasswordAuthentication no".to_owned(),
            "KbdInteractiveAuthentication no".to_owned(),
            "PermitRootLogin prohibit-password".to_owned(),
            "AcceptEnv REFWARDEN_TOKEN".to_owned(),
            format!("SetEnv PATH={search}"),
        ];
        lines.extend(more(directory.path()));
        std::fs::write(path("config"), lines.join("\n") + "\n").unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut sshd = Self {
            child,
            directory,
            port,
        };
        within("sshd listens", Duration::from_secs(10), || {
            let ended = sshd.child.try_wait().unwrap();
            assert!(ended.is_none(), "sshd ended: {}", sshd.log());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        sshd
    }

    /// The URL of a repository at a path of this machine.
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://127.0.0.1:{}{}", self.port, repository.display())
    }

    /// The URL of a repository that `refwarden-shell` serves by that name.
    pub fn named_url(&self, name: &str) -> String {
        format!("ssh://127.0.0.1:{}/{name}", self.port)
    }

    /// The public key of the authority, or of the one that only sshd trusts, `stranger`.
    pub fn authority(&self, name: &str) -> String {
        let key = self.directory.path().join(format!("{name}.pub"));
        std::fs::read_to_string(key).unwrap().trim().to_owned()
    }

    /// Makes a key and has it certified, with these arguments of ssh-keygen(1), and says what
    /// git needs as `GIT_SSH_COMMAND` to come with it.
    #[track_caller]
    pub fn certified(&self, name: &str, by: &str, arguments: &[&str]) -> String {
        let path = |name: &str| self.directory.path().join(name);
        make_key(&path(name));
        let mut keygen = Command::new("ssh-keygen");
        keygen.arg("-q").arg("-s").arg(path(by)).args(["-I", name]);
        keygen.args(arguments).arg(path(&format!("{name}.pub")));
        run(keygen, b"").passes();
        self.command_with(name)
    }

    /// The certificate that was made for that name, as it stands in its file.
    pub fn certificate(&self, name: &str) -> String {
        let file = self.directory.path().join(format!("{name}-cert.pub"));
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What git needs as `GIT_SSH_COMMAND`.
    pub fn command(&self) -> String {
        self.command_with("user")
    }

    /// Has the client run a command with this input, and these variables besides the token. All such
    /// sessions go over one connection, which the first makes.
    #[track_caller]
    pub fn session(&self, variables: &[(&str, &str)], asked: &str, input: &[u8]) -> Outcome {
        let whole = self.command();
        let mut words = whole.split_whitespace();
        let mut ssh = Command::new(words.next().unwrap());
        ssh.args(words)
            .args(["-o", "ControlMaster=auto", "-o", "ControlPersist=10"]);
        let socket = self.directory.path().join("shared");
        ssh.arg("-o")
            .arg(format!("ControlPath={}", socket.display()));
        ssh.arg("-p")
            .arg(self.port.to_string())
            .args(["127.0.0.1", asked]);
        ssh.envs(variables.iter().copied());
        run(ssh, input)
    }

    fn command_with(&self, key: &str) -> String {
        let key = self.directory.path().join(key);
        format!(
            "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o SendEnv=REFWARDEN_TOKEN -o SendEnv=GIT_PROTOCOL",
            key.display()
        )
    }

    /// What sshd logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn make_key(path: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path);
    run(keygen, b"").passes();
}

/// sshd wants to be started by its full path, and stands where ordinary users do not look.
fn find(name: &str) -> PathBuf {
    let search = std::env::var("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&search).collect::<Vec<_>>();
    places.extend(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()]);
    let found = places
        .into_iter()
        .map(|place| place.join(name))
        .find(|it| it.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed; install/bootstrap.sh installs it"))
}
