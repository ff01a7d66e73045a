//! What `up` and `status` tell: URLs, sign-ins, process ids.

use std::time::Duration;

use refwarden_config::Config;
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::layout::DataDir;
use crate::output;
use crate::process::Part;
use crate::process::postgres::Postgres;
use crate::quickstart::identities::Identities;

/// The object of `up --json`.
#[derive(Serialize)]
pub struct Report {
    /// Pages and API.
    pub service_url: String,
    /// Where git clones from.
    pub proxy_url: String,
    /// Postgres, as libpq takes it.
    pub database_url: String,
    /// Bare repositories in here are served.
    pub repositories_dir: String,
    /// Who the built-in identity provider knows, with passwords.
    pub identities_file: String,
    /// Who reads everything.
    pub admin: SignIn,
    /// Who approves.
    pub approver: SignIn,
    /// How an agent gets a token.
    pub agent: Agent,
    /// Process ids.
    pub pids: Pids,
    #[serde(skip)]
    pub private_postgres: bool,
}

/// A person's sign-in to the pages, and a command that prints a token of theirs.
#[derive(Serialize)]
pub struct SignIn {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Program and arguments.
    pub token_command: Vec<String>,
}

/// An agent.
#[derive(Serialize)]
pub struct Agent {
    /// The client.
    pub client: String,
    /// The person it acts for.
    pub acts_for: String,
    /// Program and arguments.
    pub token_command: Vec<String>,
}

/// Process ids; none for what does not run here.
#[derive(Serialize)]
pub struct Pids {
    /// The postmaster.
    pub postgres: Option<u32>,
    /// The service.
    pub service: Option<u32>,
    /// The proxy.
    pub proxy: Option<u32>,
    /// The reconciler.
    pub reconciler: Option<u32>,
}

impl Report {
    /// Reads it off the data directory.
    pub fn read(dir: &DataDir) -> Outcome<Self> {
        let config = dir.config()?;
        let identities = Identities::read(dir)?;
        let sign_in = |name: &str| -> Outcome<SignIn> {
            Ok(SignIn {
                user: name.to_owned(),
                password: identities.user(name)?.password.clone(),
                token_command: token_command(dir, "operator", name)?,
            })
        };
        Ok(Self {
            proxy_url: proxy_url(&config)?.clone(),
            service_url: config.service.public_url,
            database_url: std::env::var("DATABASE_URL")
                .ok()
                .filter(|url| !url.is_empty())
                .or(config.database.migrator_url)
                .unwrap_or(config.database.url),
            repositories_dir: dir.repositories().display().to_string(),
            identities_file: dir.identities_file().display().to_string(),
            admin: sign_in("adam")?,
            approver: sign_in("grace")?,
            agent: Agent {
                client: "agent".to_owned(),
                acts_for: "ada".to_owned(),
                token_command: token_command(dir, "agent", "ada")?,
            },
            pids: Pids {
                postgres: Postgres::running(dir).map(|process| process.pid),
                service: Part::Service.running(dir).map(|process| process.pid),
                proxy: Part::Proxy.running(dir).map(|process| process.pid),
                reconciler: Part::Reconciler.running(dir).map(|process| process.pid),
            },
            private_postgres: Postgres::exists(dir),
        })
    }

    /// Whether the processes are there.
    pub fn is_running(&self) -> bool {
        let pids = &self.pids;
        pids.service.is_some() && pids.proxy.is_some() && pids.reconciler.is_some()
    }

    /// Whether service and proxy answer.
    pub fn answers(&self) -> bool {
        let client = reqwest::blocking::Client::builder()
            .timeout(Duration::from_secs(3))
            .no_proxy()
            .build();
        client.is_ok_and(|client| {
            [
                format!("{}/readyz", self.service_url),
                format!("{}/livez", self.proxy_url),
            ]
            .iter()
            .all(|url| {
                let answer = client.get(url).send();
                answer.is_ok_and(|answer| answer.status().is_success())
            })
        })
    }

    /// Writes it for people.
    pub fn print(&self, detached: bool) -> Outcome<()> {
        let style = output::style(output::Stream::Output);
        let (bold, reset) = (style.bold, style.reset);
        output::line(&format!("{bold}Refwarden is ready.{reset}"))?;
        output::line(&format!("  pages         {}", self.service_url))?;
        for (what, sign_in) in [("approver", &self.approver), ("admin", &self.admin)] {
            let SignIn { user, password, .. } = sign_in;
            output::line(&format!("  {what:13} {user}  password {password}"))?;
        }
        output::line(&format!("  git           {}/NAME.git", self.proxy_url))?;
        output::line(&format!("  repositories  {}", self.repositories_dir))?;
        let words = self.agent.token_command.iter();
        let words: Vec<String> = words.map(|word| output::quoted(word)).collect();
        output::line(&format!("  agent token   {}", words.join(" ")))?;
        if !detached {
            output::line("Ctrl-C stops everything.")?;
        }
        Ok(())
    }
}

/// The proxy's URL, which a configuration for `up` must have.
pub fn proxy_url(config: &Config) -> Outcome<&String> {
    let proxy = config.proxy.as_ref().ok_or_else(|| {
        Failure::new("refwarden.toml has no [proxy]")
            .why("refwarden up starts a proxy")
            .next("add the section, or run the service by itself: refwarden-service --config FILE")
    })?;
    Ok(&proxy.public_url)
}

fn token_command(dir: &DataDir, client: &str, user: &str) -> Outcome<Vec<String>> {
    let program = crate::process::part::beside("refwarden")?;
    let root = dir.root().display().to_string();
    let words = [
        &program.display().to_string(),
        "token",
        "--as",
        client,
        "--for",
        user,
        "--data-dir",
        &root,
    ];
    Ok(words.map(str::to_owned).to_vec())
}
