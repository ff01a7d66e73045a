//! The two configuration files, parsed strictly: `refwarden.toml` for service, proxy and command
//! line, `hook.toml` for the hooks of one Git host.
//!
//! An unknown key or a bad value is an error with file, line and what was expected, and whoever
//! reads the file refuses to start. This crate reads no file itself; it is given the text.

mod channels;
mod checked;
mod fetches;
mod hook;
mod issuers;
mod ledger;
mod notify;
mod packs;
mod retention;
mod server;
mod ssh;

pub use channels::{Channel, Channels};
pub use fetches::Fetches;
pub use hook::HookConfig;
pub use ledger::Ledger;
pub use notify::{
    Chat, Collector, Email, Hours, Name, Notify, Person, Security, Syslog, Target, Told, Webhook,
};
pub use packs::{Bucket, Endpoint, Packs};
pub use retention::Retention;
pub use server::{
    Access, Config, Database, Host, Issuer, IssuerKind, PolicyFiles, Proxy, QuickStart, Service,
    SignIn, Views,
};
pub use ssh::{SshAuthority, SshSubject};

/// Why a configuration file is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ConfigError {
    /// The file, as named by whoever read it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what was expected.
    pub problem: String,
}

/// Parses TOML into `T` and says where it went wrong.
///
/// # Errors
/// [`ConfigError`] for bad TOML, an unknown key, a missing key, or a value of the wrong kind.
pub fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let before = text.get(..offset).unwrap_or_default();
        ConfigError {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            problem: error.message().replace('\n', " "),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = "service_url = \"http://x\"\ncredential_file = \"k\"\nspool = 3\n";
        let error = parse::<HookConfig>("hook.toml", text).unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("hook.toml", 3));
        assert!(error.problem.contains("unknown field `spool`"), "{error}");
    }

    /// Parts of a file that is good, to be changed one at a time.
    const PARTS: &str = "[service]
listen = \"127.0.0.1:8080\"
public_url = \"https://refwarden.example.com\"
pack_dir = \"packs\"
audience = \"refwarden\"
[database]
url = \"postgresql://h/d\"
connections = 16
[policy]
files = []
[access]
auditors = [\"group:auditors\"]
[fetches]
keep = [\"kind:agent\"]
[[issuer]]
url = \"https://id.example.com\"
algorithms = [\"EdDSA\"]
";

    #[test]
    fn a_bad_value_is_told_with_its_line_and_what_was_expected() {
        let read = |text: &str| parse::<Config>("refwarden.toml", text);
        read(PARTS).unwrap();
        for (good, bad, expected) in [
            (
                "\"127.0.0.1:8080\"",
                "\"127.0.0.1\"",
                "2: '127.0.0.1': expected an address and a port",
            ),
            (
                "\"127.0.0.1:8080\"",
                "\"::1\"",
                "2: '::1': expected an address and a port",
            ),
            (
                "\"127.0.0.1:8080\"",
                "\"h:99999\"",
                "2: 'h:99999': expected an address and a port",
            ),
            (
                "\"https://refwarden.example.com\"",
                "\"refwarden\"",
                "3: 'refwarden': expected a URL",
            ),
            ("= 16", "= 0", "8: 0 connections: expected 1 to 1000"),
            ("= 16", "= -1", "8: -1 connections: expected 1 to 1000"),
            (
                "group:auditors",
                "auditors",
                "12: 'auditors': expected one of group:NAME, user:NAME",
            ),
            (
                "group:auditors",
                "group:",
                "12: 'group:': expected one of group:NAME",
            ),
            (
                "kind:agent",
                "kind:robot",
                "14: 'kind:robot': expected one of",
            ),
            ("EdDSA", "HS256", "17: algorithm 'HS256': expected RS256"),
            ("\"EdDSA\"", "", "17: no algorithm: expected RS256"),
        ] {
            assert!(PARTS.contains(good), "{good}");
            let error = read(&PARTS.replace(good, bad)).unwrap_err().to_string();
            let expected = format!("refwarden.toml:{expected}");
            assert!(error.starts_with(&expected), "{bad}: {error}");
        }
        let twice = "[[issuer]]\nurl = \"https://id.example.com\"\nalgorithms = [\"RS256\"]\n";
        let error = read(&format!("{PARTS}{twice}")).unwrap_err().to_string();
        let expected = "refwarden.toml:18: issuer https://id.example.com is configured twice";
        assert!(error.starts_with(expected), "{error}");
        read(&format!("{PARTS}{}", twice.replace("id.", "other."))).unwrap();
        for listen in ["[::1]:8080", "localhost:8080", "0.0.0.0:0"] {
            read(&PARTS.replace("127.0.0.1:8080", listen)).unwrap();
        }
    }
}
