//! Makes the data directory of a quick start: secrets, identities and commented configuration.
//!
//! Everything is made once, on the first `refwarden up`; later runs read it and change nothing.

mod files;
pub mod identities;
mod secret;

use std::net::TcpListener;

use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Outcome};
use crate::layout::{DataDir, make_dir, write_file};
use crate::sealed;

const LOOPBACK: &str = "127.0.0.1";

/// Where ports are picked. A port is picked once and written down, so it must be free at each
/// later start: these are below those that Linux gives to outgoing connections (32768 and up by
/// default, `net.ipv4.ip_local_port_range`), and above most services'.
const PICKED: std::ops::Range<u16> = 20_000..32_000;

/// What a person may choose about a new data directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    /// The service's port; 0 to pick one.
    pub port: u16,
    /// The proxy's port; 0 to pick one.
    pub proxy_port: u16,
}

/// Makes whatever is missing for a first start. `refwarden.toml` is written last: it is there
/// only when all else is.
pub fn generate(
    dir: &DataDir,
    choices: Choices,
    database_url: &str,
    migrator_url: Option<&str>,
) -> Outcome<()> {
    for (name, mode) in [("packs", 0o700), ("spool", 0o700), ("repositories", 0o755)] {
        make_dir(&dir.join(name), mode)?;
    }
    let (port, proxy_port) = ports(choices)?;
    let credential = format!("rwh_local_{}", secret::base64url(32)?);
    let web_secret = secret::base64url(32)?;
    let service_url = format!("http://127.0.0.1:{port}");

    write_file(&dir.join("host.key"), 0o600, &format!("{credential}\n"))?;
    for name in ["fingerprint.key", "view.key"] {
        let key = dir.join(name);
        if !key.exists() {
            write_file(&key, 0o600, &format!("{}\n", secret::hexadecimal(32)?))?;
        }
    }
    write_file(
        &dir.join("web-client.key"),
        0o600,
        &format!("{web_secret}\n"),
    )?;
    let identities = identities::Identities::new(&service_url, &web_secret)?;
    write_file(&dir.identities_file(), 0o600, &identities.to_toml()?)?;
    if !dir.join("policy.toml").exists() {
        write_file(&dir.join("policy.toml"), 0o644, files::POLICY)?;
    }
    write_file(&dir.hook_file(), 0o644, &files::hook(dir, &service_url))?;
    let recipient = sealed::recipient_of(&dir.join(sealed::QUICK_START))?;
    let server = files::Server {
        dir,
        port,
        proxy_port,
        database_url,
        migrator_url,
        recipient: &recipient,
        credential_sha256: hex::encode(Sha256::digest(&credential)),
    };
    // It may hold the password of a database.
    write_file(&dir.config_file(), 0o600, &server.text())
}

/// Two different free ports of the loopback address. Both are held while they are picked.
fn ports(choices: Choices) -> Outcome<(u16, u16)> {
    let hold = |port: u16| {
        let held = if port == 0 {
            pick()
        } else {
            TcpListener::bind((LOOPBACK, port)).map(|listener| (listener, port))
        };
        held.map_err(|error| {
            Failure::new(format!("port {port} cannot be listened on"))
                .why(error)
                .next("choose another port, or 0 to have one picked")
        })
    };
    let (_one, port) = hold(choices.port)?;
    let (_two, proxy_port) = hold(choices.proxy_port)?;
    Ok((port, proxy_port))
}

/// Holds a free port of [`PICKED`].
fn pick() -> std::io::Result<(TcpListener, u16)> {
    let mut last = None;
    for _ in 0..100 {
        let mut bytes = [0; 2];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| std::io::Error::other("no random numbers"))?;
        let port = PICKED.start + u16::from_ne_bytes(bytes) % (PICKED.end - PICKED.start);
        match TcpListener::bind((LOOPBACK, port)) {
            Ok(listener) => return Ok((listener, port)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("no port was tried")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generated_is_accepted_by_those_who_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let dir = DataDir::resolve(directory.path()).unwrap();
        let url = "postgresql:///refwarden?host=/x\"y&user=refwarden";
        generate(
            &dir,
            Choices::default(),
            url,
            Some("postgresql:///refwarden"),
        )
        .unwrap();
        let config = dir.config().unwrap();
        assert_eq!(config.database.url, url);
        assert_ne!(config.service.public_url, config.proxy.unwrap().public_url);
        assert_eq!(config.hosts.len(), 1);
        assert_eq!(config.packs.recipients.len(), 1);
        let hook = std::fs::read_to_string(dir.hook_file()).unwrap();
        refwarden_config::parse::<refwarden_config::HookConfig>("hook.toml", &hook).unwrap();
        let policy = refwarden_policy::Policy::parse(&[("policy.toml", files::POLICY)]).unwrap();
        assert_eq!(policy.warnings(), []);
        let identities = identities::Identities::read(&dir).unwrap();
        assert_eq!(identities.user("grace").unwrap().groups, ["maintainers"]);
    }
}
