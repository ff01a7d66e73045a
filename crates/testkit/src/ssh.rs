//! A real sshd, on a port and with keys of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::run::run;
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
        let program = find("sshd");
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(path(key));
            run(keygen, b"").passes();
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
        let lines = [
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

    /// What git needs as `GIT_SSH_COMMAND`.
    pub fn command(&self) -> String {
        let key = self.directory.path().join("user");
        format!(
            "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o SendEnv=REFWARDEN_TOKEN",
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
