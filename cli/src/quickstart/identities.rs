//! `identities.toml`: who the built-in identity provider knows.

use serde::{Deserialize, Serialize};

use super::secret;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::DataDir;

/// The whole file.
#[derive(Serialize, Deserialize)]
pub struct Identities {
    /// People.
    #[serde(rename = "user")]
    pub users: Vec<User>,
    /// Programs.
    #[serde(rename = "client")]
    pub clients: Vec<Client>,
}

/// A person.
#[derive(Serialize, Deserialize)]
pub struct User {
    /// The sign-in name, and the token's `sub`.
    pub name: String,
    /// The password.
    pub password: String,
    /// The verified e-mail address.
    pub email: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// A program that gets tokens.
#[derive(Serialize, Deserialize)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
    /// `agent`, `operator` or `web`.
    pub kind: String,
    /// Where a sign-in may return to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
}

/// The people of the quick start: name and group.
const PEOPLE: [(&str, &str); 4] = [
    ("ada", "developers"),
    ("grace", "maintainers"),
    ("audrey", "auditors"),
    ("adam", "admins"),
];

const HEADER: &str = "\
# Who the built-in identity provider of the quick start knows. It is for trying Refwarden on
# one machine: the file holds passwords, and only its owner may read it.
#
# A user is a person who signs in to the pages. A client is a program: \"agent\" gets tokens
# for pushes, \"operator\" is the refwarden command, \"refwarden-web\" is the pages themselves.

";

impl Identities {
    /// New identities with random passwords.
    pub fn new(service_url: &str, web_secret: &str) -> Outcome<Self> {
        let user = |(name, group): (&str, &str)| {
            Ok(User {
                name: name.to_owned(),
                password: secret::base64url(12)?,
                email: format!("{name}@example.org"),
                groups: vec![group.to_owned()],
            })
        };
        let client = |id: &str, kind: &str| {
            Ok(Client {
                id: id.to_owned(),
                secret: secret::base64url(32)?,
                kind: kind.to_owned(),
                redirect_uris: Vec::new(),
            })
        };
        let web = Client {
            id: "refwarden-web".to_owned(),
            secret: web_secret.to_owned(),
            kind: "web".to_owned(),
            redirect_uris: vec![format!("{service_url}/sign-in/callback")],
        };
        Ok(Self {
            users: PEOPLE.into_iter().map(user).collect::<Outcome<_>>()?,
            clients: vec![
                client("agent", "agent")?,
                client("operator", "operator")?,
                web,
            ],
        })
    }

    /// Reads the file of a data directory.
    pub fn read(dir: &DataDir) -> Outcome<Self> {
        let path = dir.identities_file();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(format!("{} cannot be read", path.display()))
                .why(error)
                .next("run refwarden up first, as the same user")
        })?;
        refwarden_config::parse(&path.display().to_string(), &text)
            .context(|| "the identities are not accepted".to_owned())
    }

    /// The file's text.
    pub fn to_toml(&self) -> Outcome<String> {
        let body = toml::to_string(self).context(|| "identities have no TOML form".to_owned())?;
        Ok(format!("{HEADER}{body}"))
    }

    /// A person.
    pub fn user(&self, name: &str) -> Outcome<&User> {
        let found = self.users.iter().find(|user| user.name == name);
        let known = || -> Vec<String> { self.users.iter().map(|user| user.name.clone()).collect() };
        found.ok_or_else(|| unknown("user", name, &known()))
    }

    /// A program.
    pub fn client(&self, id: &str) -> Outcome<&Client> {
        let found = self.clients.iter().find(|client| client.id == id);
        let known = || -> Vec<String> {
            self.clients
                .iter()
                .map(|client| client.id.clone())
                .collect()
        };
        found.ok_or_else(|| unknown("client", id, &known()))
    }
}

fn unknown(what: &str, name: &str, known: &[String]) -> Failure {
    Failure::new(format!("there is no {what} '{name}'"))
        .why(format!("identities.toml knows {}", known.join(", ")))
}
