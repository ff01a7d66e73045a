//! From `[secrets]`, `[[secret_owner]]` and `[[secret_allow]]` as typed to what findings are
//! held against. The files of rules that they name are read and tried here, so that a bad one
//! stops whoever reads the policy.

use std::cell::RefCell;

use refwarden_model::rules::{NamedText, RuleFile};
use refwarden_scan::gitleaks::{Base, Ignore};
use refwarden_scan::{RuleError, Ruleset};

use super::file::{SecretAllowIn, SecretOwnerIn, SecretsIn, Text};
use super::rule::{globs, id, paths, people};
use super::{PolicyError, Source, either};
use crate::rule::Effect;
use crate::secrets::{LONGEST_UNLESS_SAID, Scanning, SecretAllow, SecretOwner};
use crate::units;
use crate::warnings::Warning;

type Result<T> = std::result::Result<T, PolicyError>;

/// The longest file of rules that is taken, in bytes. The rules of a gitleaks release are a
/// tenth of it.
const FILE_MAX: usize = 1 << 20;

/// Bytes of all files together: every host keeps them, and each push reads them.
const ALL_MAX: usize = 4 << 20;

/// What is gathered from all files.
#[derive(Default)]
pub struct Gathered {
    pub effect: Option<Effect>,
    pub scanning: Scanning,
    /// What each file says of comments: an explicit no beats a yes.
    comments: Vec<bool>,
    repository_ignore: Vec<bool>,
    pub warnings: Vec<Warning>,
}

impl Gathered {
    /// Takes in what one file says.
    pub fn table(&mut self, source: &Source<'_>, said: SecretsIn) -> Result<()> {
        if let Some(effect) = &said.effect {
            let effect = either(source, effect, "secrets")?;
            self.effect = self.effect.max(Some(effect));
        }
        let scanning = &mut self.scanning;
        scanning.rules.generic |= said.generic.unwrap_or(false);
        if let Some(named) = &said.gitleaks_default {
            let text = read(source, "gitleaks_default", named)?;
            let before = &scanning.rules.gitleaks_default;
            if before.as_ref().is_some_and(|before| *before != text) {
                let problem = "gitleaks_default: another policy file names another one";
                return Err(source.error(named.span().start, problem));
            }
            scanning.rules.gitleaks_default = Some(text);
        }
        for named in &said.rules {
            let text = read(source, "rules", named)?;
            let file = NamedText {
                name: named.get_ref().clone(),
                text,
            };
            let extended = Vec::new();
            let mut file = RuleFile { file, extended };
            file.extended = self.extended(source, &file)?;
            self.scanning.rules.files.push(file);
        }
        for named in &said.ignore {
            let text = read(source, "ignore", named)?;
            let (_, notes) = Ignore::parse(&text, named.get_ref());
            self.warnings
                .extend(notes.iter().map(|note| warning(&note.to_string())));
            let name = named.get_ref().clone();
            self.scanning.rules.ignore.push(NamedText { name, text });
        }
        self.comments.extend(said.allow_comments);
        self.repository_ignore.extend(said.repository_ignore);
        let scanning = &mut self.scanning;
        scanning.enforce.extend(globs(source, said.enforce)?);
        scanning.evaluate.extend(globs(source, said.evaluate)?);
        scanning.off.extend(globs(source, said.off)?);
        Ok(())
    }

    pub fn owner(&mut self, source: &Source<'_>, at: usize, owner: SecretOwnerIn) -> Result<()> {
        let id = id(source, "secret_owner", &owner.id)?;
        let wrong =
            |problem: &str| Err(source.error(at, format!("secret_owner '{id}': {problem}")));
        if self.scanning.owners.iter().any(|known| known.id == id) {
            return wrong("the id is used twice");
        }
        if owner.approvers.is_empty() {
            return wrong("expected approvers");
        }
        if owner.quorum == Some(0) {
            return wrong("quorum: expected 1 or more");
        }
        let longest = span(source, "longest_exception", owner.longest_exception)?;
        self.scanning.owners.push(SecretOwner {
            rules: globs(source, owner.rules)?,
            repositories: globs(source, owner.repositories)?,
            approvers: people(source, owner.approvers)?,
            quorum: owner.quorum.unwrap_or(1),
            longest: longest.unwrap_or(LONGEST_UNLESS_SAID),
            id,
        });
        Ok(())
    }

    pub fn allow(&mut self, source: &Source<'_>, allow: SecretAllowIn) -> Result<()> {
        let digits = allow.fingerprint.get_ref();
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 64 || !digits.bytes().all(hexadecimal) {
            let expected = "secret_allow: fingerprint: expected 64 lower-case hexadecimal digits";
            return Err(source.error(allow.fingerprint.span().start, expected));
        }
        if allow.rule.get_ref().is_empty() {
            let expected = "secret_allow: rule: expected the id of a rule of the scanner";
            return Err(source.error(allow.rule.span().start, expected));
        }
        self.scanning.allow.push(SecretAllow {
            rule: allow.rule.into_inner(),
            fingerprint: allow.fingerprint.into_inner(),
            repositories: globs(source, allow.repositories)?,
            paths: paths(source, allow.paths)?,
        });
        Ok(())
    }

    /// Everything together, with the files of rules tried as hooks will read them.
    pub fn finish(mut self) -> Result<Self> {
        let all = |said: &[bool]| !said.is_empty() && said.iter().all(|it| *it);
        self.scanning.allow_comments = all(&self.comments);
        self.scanning.rules.repository_ignore = all(&self.repository_ignore);
        self.scanning.owners.sort_by(|a, b| a.id.cmp(&b.id));
        let rules = &mut self.scanning.rules;
        rules.files.sort_by(|a, b| {
            let key = |file: &RuleFile| (file.file.name.clone(), file.file.text.clone());
            key(a).cmp(&key(b))
        });
        rules.ignore.sort_by(|a, b| a.name.cmp(&b.name));
        if rules.files.is_empty() && rules.gitleaks_default.is_some() {
            let text = "gitleaks_default is named, and no file of rules that could extend it";
            self.warnings.push(warning(text));
        }
        if !rules.files.is_empty() {
            let files: Vec<(&str, &str)> = rules
                .files
                .iter()
                .map(|it| (it.file.name.as_str(), it.file.text.as_str()))
                .collect();
            let resolve = |place: usize, base: Base<'_>| match base {
                Base::Default => rules
                    .gitleaks_default
                    .clone()
                    .ok_or_else(|| NO_DEFAULT.to_owned()),
                Base::Path(path) => {
                    let mut extended = rules
                        .files
                        .get(place)
                        .into_iter()
                        .flat_map(|it| &it.extended);
                    let found = extended.find(|it| it.name == path);
                    found
                        .map(|it| it.text.clone())
                        .ok_or_else(|| "it was not read".to_owned())
                }
            };
            let loaded = Ruleset::with_files(rules.generic, &files, resolve)
                .map_err(|it| policy_error(&it))?;
            let notes = loaded.notes.iter().map(|note| warning(&note.to_string()));
            self.warnings.extend(notes);
        }
        let bytes = self.scanning.rules.bytes();
        if bytes > ALL_MAX {
            let files = self.scanning.rules.files.iter().map(|it| &it.file);
            let mut files = files.chain(&self.scanning.rules.ignore);
            let longest = files.by_ref().max_by_key(|file| file.text.len());
            return Err(PolicyError {
                file: longest.map_or_else(String::new, |file| file.name.clone()),
                line: 1,
                problem: format!(
                    "the files that [secrets] names have {bytes} bytes together; expected at most \
                     {ALL_MAX}: shorten them, this one first"
                ),
            });
        }
        self.scanning.digest = self.scanning.rules.digest();
        Ok(self)
    }

    /// The texts of the files that a `gitleaks.toml` extends, read from beside the policy file.
    fn extended(&self, source: &Source<'_>, file: &RuleFile) -> Result<Vec<NamedText>> {
        let gathered = RefCell::new(Vec::new());
        let resolve = |_: usize, base: Base<'_>| match base {
            // Another policy file may still name it; what is missing is told at the end.
            Base::Default => Ok(self
                .scanning
                .rules
                .gitleaks_default
                .clone()
                .unwrap_or_default()),
            Base::Path(path) => {
                let text = (source.read)(source.file, path)?;
                if text.len() > FILE_MAX {
                    return Err(too_long(&text));
                }
                gathered.borrow_mut().push(NamedText {
                    name: path.to_owned(),
                    text: text.clone(),
                });
                Ok(text)
            }
        };
        let files = [(file.file.name.as_str(), file.file.text.as_str())];
        let tried = Ruleset::with_files(false, &files, resolve);
        let gathered = gathered.into_inner();
        match tried {
            Ok(_) => Ok(gathered),
            // The missing default, if that is it, has a better message.
            Err(_)
                if self.scanning.rules.gitleaks_default.is_none()
                    && uses_default(file, &gathered) =>
            {
                Ok(gathered)
            }
            Err(error) => Err(policy_error(&error)),
        }
    }
}

const NO_DEFAULT: &str =
    "name a gitleaks release's own rules in the policy: [secrets] gitleaks_default = \"FILE\"";

fn uses_default(file: &RuleFile, extended: &[NamedText]) -> bool {
    let extended = extended.iter().map(|it| it.text.as_str());
    let mut texts = extended.chain([file.file.text.as_str()]);
    texts.any(|text| text.to_ascii_lowercase().contains("usedefault"))
}

fn policy_error(error: &RuleError) -> PolicyError {
    let problem = error.problem();
    let (file, line) = error.place();
    PolicyError {
        file: file.to_owned(),
        line,
        problem,
    }
}

fn warning(text: &str) -> Warning {
    Warning {
        file: String::new(),
        line: 0,
        rule: None,
        text: text.to_owned(),
    }
}

fn read(source: &Source<'_>, key: &str, named: &Text) -> Result<String> {
    let (at, name) = (named.span().start, named.get_ref());
    let text = (source.read)(source.file, name)
        .map_err(|why| source.error(at, format!("{key} '{name}': {why}")))?;
    if text.len() > FILE_MAX {
        let problem = format!("{key} '{name}': {}", too_long(&text));
        return Err(source.error(at, problem));
    }
    Ok(text)
}

fn too_long(text: &str) -> String {
    let bytes = text.len();
    format!("it has {bytes} bytes; expected at most {FILE_MAX}: take out what is not needed")
}

fn span(source: &Source<'_>, key: &str, text: Option<Text>) -> Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    let seconds = units::seconds(text.get_ref());
    let expected = format!("{key}: expected a time such as 12h or 90d, from 1m to 3650d");
    let seconds = seconds.ok_or_else(|| source.error(text.span().start, expected))?;
    Ok(Some(seconds))
}
