//! `identities.toml`: the people and programs that the identity provider knows.

use std::path::Path;

use serde::Deserialize;
use subtle::ConstantTimeEq as _;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identities {
    #[serde(rename = "user")]
    users: Vec<User>,
    #[serde(rename = "client")]
    clients: Vec<Client>,
}

/// A person.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Sign-in name and `sub`.
    pub name: String,
    password: String,
    /// Verified address.
    pub email: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// A program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    secret: String,
    /// What it may ask for.
    pub kind: ClientKind,
    /// Where a sign-in may return to, exactly.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ClientKind {
    /// Tokens for itself, or for itself acting for a user.
    Agent,
    /// Tokens as a user: the quick start's own command line.
    Operator,
    /// Sign-ins.
    Web,
}

impl Identities {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        refwarden_config::parse(&shown, &text).map_err(|error| error.to_string())
    }

    /// Finds a person.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// Finds a program.
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }
}

impl User {
    /// Compares a password in constant time.
    pub fn has_password(&self, password: &str) -> bool {
        same(&self.password, password)
    }
}

impl Client {
    /// Compares a secret in constant time.
    pub fn has_secret(&self, secret: &str) -> bool {
        same(&self.secret, secret)
    }
}

fn same(known: &str, given: &str) -> bool {
    !known.is_empty() && known.as_bytes().ct_eq(given.as_bytes()).into()
}
