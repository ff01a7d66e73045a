//! The rules that a push is scanned with: those that ship with the scanner, and what the policy
//! adds. The service hands the latter out, so that every host scans alike, and the host keeps
//! them beside its spool, so that a push need not ask. The facts name the digest of what was
//! scanned with, computed from the very rules; the service takes no push whose digest is not that
//! of its policy, and the hook then asks, keeps, and scans again, once.
//!
//! What is kept is trusted for nothing: a file that is missing, torn or tampered with has another
//! digest, or none.

use std::io;
use std::path::{Path, PathBuf};

use refwarden_gitio::objects::ReadObjects;
use refwarden_model::Oid;
use refwarden_model::facts::Allowed;
use refwarden_model::rules::{NamedText, ScanRules};
use refwarden_scan::gitleaks::{Base, Ignore};
use refwarden_scan::{Finding, Ruleset, Step};
use refwarden_wire::hook::{RULES, RulesOut};

use crate::client::Client;
use crate::fault::Fault;
use crate::host::Host;

/// The name by which gitleaks knows the file of places that somebody has looked at.
pub const IGNORE_FILE: &[u8] = b".gitleaksignore";

/// The longest such file of a repository that is read, in bytes.
const IGNORE_MAX: u64 = 4 << 20;

/// The file in which a host keeps what was handed out, beside the spools of its repositories.
const KEPT: &str = "scan-rules.json";

/// What to scan with.
pub struct Rules {
    /// The rules.
    pub ruleset: Ruleset,
    /// What goes into the facts.
    pub digest: Option<String>,
    /// Whether the repository's own file of places counts.
    pub repository_ignore: bool,
    ignore: Ignores,
}

/// Places that somebody has looked at.
#[derive(Default)]
pub struct Ignores {
    /// By the name of their file.
    policy: Vec<(String, Ignore)>,
    repository: Ignore,
}

impl Rules {
    /// What the host keeps. What cannot be used counts as not kept: if the policy names rules,
    /// the service says so.
    pub fn kept(host: &Host) -> Result<Self, Fault> {
        let kept = std::fs::read(kept_file(host)).ok();
        let kept: Option<ScanRules> = kept.and_then(|text| serde_json::from_slice(&text).ok());
        match kept.as_ref().map(Self::read) {
            Some(Ok(rules)) => Ok(rules),
            _ => Self::read(&ScanRules::default()),
        }
    }

    /// Asks the service, and keeps the answer.
    pub fn fetch(host: &Host, client: &Client) -> Result<Self, Fault> {
        let rules = Self::ask(client)?;
        // A host that cannot keep them asks at each push, which is slow and no less safe.
        let _ = keep(host, &rules);
        Self::read(&rules)
    }

    /// Tries what the service hands out, and says why the host cannot scan with it.
    pub fn examine(client: &Client) -> Result<(), Fault> {
        Self::read(&Self::ask(client)?).map(drop)
    }

    fn ask(client: &Client) -> Result<ScanRules, Fault> {
        let RulesOut { digest, rules } = client.read(RULES)?;
        if digest != rules.digest() {
            let text = "the service hands out rules that this host reads as others";
            return Err(Fault::unscanned(text).hint(
                "administrators: bring the hooks of this host and the service to one version",
            ));
        }
        Ok(rules)
    }

    fn read(rules: &ScanRules) -> Result<Self, Fault> {
        let named: Vec<(&str, &str)> = rules
            .files
            .iter()
            .map(|it| (it.file.name.as_str(), it.file.text.as_str()))
            .collect();
        let loaded = Ruleset::with_files(rules.generic, &named, |place, base| {
            extended(rules, place, base)
        });
        let loaded = loaded.map_err(|error| {
            let ((file, line), problem) = (error.place(), error.problem());
            Fault::unscanned(format!(
                "the rules that the policy names cannot be used: {file}:{line}: {problem}"
            ))
        })?;
        let parse = |it: &NamedText| (it.name.clone(), Ignore::parse(&it.text, &it.name).0);
        Ok(Self {
            ruleset: loaded.ruleset,
            digest: rules.digest(),
            repository_ignore: rules.repository_ignore,
            ignore: Ignores {
                policy: rules.ignore.iter().map(parse).collect(),
                repository: Ignore::default(),
            },
        })
    }

    /// The places that somebody has looked at. `own` is the repository's file of them.
    pub fn ignores(
        &self,
        own: Option<Oid>,
        reader: &mut dyn ReadObjects,
    ) -> Result<Ignores, Fault> {
        let mut ignores = Ignores {
            policy: self.ignore.policy.clone(),
            repository: Ignore::default(),
        };
        if let Some(blob) = own.filter(|_| self.repository_ignore) {
            // What is longer counts for nothing, so that more is found and never less.
            let (_, whole) = reader.load(blob, IGNORE_MAX, &mut |_, _| {})?;
            let text = whole.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            ignores.repository = Ignore::parse(&text, ".gitleaksignore").0;
        }
        Ok(ignores)
    }
}

impl Ignores {
    /// The lines that cover a finding at a path.
    pub fn covering(
        &self,
        finding: &Finding,
        path: Option<&[u8]>,
        commit: Option<Oid>,
    ) -> Vec<Allowed> {
        let mut place = path.unwrap_or_default().to_vec();
        // Gitleaks calls members of archives so, too.
        for step in &finding.via {
            if let Step::Member(name) = step {
                place.push(b'!');
                place.extend_from_slice(name);
            }
        }
        let commit = commit.map(|oid| oid.to_string());
        let covers = |ignore: &Ignore| {
            let entry = ignore.covers(finding, &place, commit.as_deref());
            entry.map(str::to_owned)
        };
        let of_policy = self.policy.iter().filter_map(|(file, ignore)| {
            let file = file.clone();
            covers(ignore).map(|entry| Allowed::IgnoreFile { file, entry })
        });
        let own = covers(&self.repository).map(|entry| Allowed::RepositoryIgnore { entry });
        of_policy.chain(own).collect()
    }
}

fn kept_file(host: &Host) -> PathBuf {
    host.config.spool_dir.join(KEPT)
}

/// Hooks that write at once may tear the file, which its digest then tells.
fn keep(host: &Host, rules: &ScanRules) -> io::Result<()> {
    let file = kept_file(host);
    let new: &Path = &file.with_extension("json.new");
    std::fs::write(new, serde_json::to_vec(rules)?)?;
    std::fs::rename(new, file)
}

fn extended(rules: &ScanRules, place: usize, base: Base<'_>) -> Result<String, String> {
    match base {
        Base::Default => rules
            .gitleaks_default
            .clone()
            .ok_or_else(|| "the policy names no gitleaks_default".to_owned()),
        Base::Path(path) => {
            let extended = rules.files.get(place).map(|it| it.extended.as_slice());
            let mut extended = extended.unwrap_or_default().iter();
            let found = extended.find(|it| it.name == path);
            found
                .map(|it| it.text.clone())
                .ok_or_else(|| "the policy does not hand it out".to_owned())
        }
    }
}
