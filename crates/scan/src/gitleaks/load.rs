//! Turns files into rules: checks, `extend`, allow-lists for certain rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::allow::Allowlist;
use super::file::{self, At, File, Place};
use super::pattern::Pattern;
use crate::error::RuleError;

/// How many files may stand between the first one and the last it extends, as in gitleaks.
const EXTEND_MAX: usize = 2;

/// gitleaks' version whose reading of the file this follows.
const VERSION: [u64; 3] = [8, 30, 1];

/// What a file extends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base<'b> {
    /// `useDefault`: the rules that a release of gitleaks comes with.
    Default,
    /// `path`, as it stands in the file.
    Path(&'b str),
}

/// Something in the file that has no effect, or less than its author may think.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// Name of the file.
    pub file: String,
    /// 1-based line.
    pub line: usize,
    /// What was found and what becomes of it.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Another rule that must have matched nearby.
#[derive(Debug, Clone)]
pub(super) struct Required {
    pub(super) id: Arc<str>,
    pub(super) within_lines: Option<u64>,
    pub(super) within_columns: Option<u64>,
}

/// A rule as it results from all files.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) place: Place,
    pub(super) id: Arc<str>,
    pub(super) description: Arc<str>,
    pub(super) tags: Vec<String>,
    pub(super) regex: Option<Pattern>,
    pub(super) path: Option<Pattern>,
    pub(super) secret_group: usize,
    pub(super) entropy: f64,
    /// Lower case.
    pub(super) keywords: Vec<String>,
    pub(super) allowlists: Vec<Arc<Allowlist>>,
    pub(super) required: Vec<Required>,
    pub(super) skip_report: bool,
}

/// All rules and the allow-lists that hold for all of them.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) rules: BTreeMap<Arc<str>, Spec>,
    pub(super) allowlists: Vec<Arc<Allowlist>>,
    targeted: Vec<(At<String>, Arc<Allowlist>)>,
}

/// Reads a file and all it extends. `resolve` yields the text of what is extended, or says why
/// it cannot.
pub(super) fn load(
    text: &str,
    name: &str,
    resolve: &dyn Fn(Base<'_>) -> Result<String, String>,
    notes: &mut Vec<Note>,
) -> Result<Config, RuleError> {
    let mut config = read(text, name, 0, resolve, notes)?;
    for rule in config.rules.values() {
        check(rule)?;
        if rule.regex.is_some() && rule.keywords.is_empty() {
            let id = &rule.id;
            let text = format!("rule {id:?} has no keywords, so it is tried on every text");
            notes.push(note(&rule.place, text));
        }
    }
    for (target, allowlist) in std::mem::take(&mut config.targeted) {
        let Some(rule) = config.rules.get_mut(target.value.as_str()) else {
            return Err(target.place.fault(format!(
                "targetRules: expected the id of a rule, found {:?}",
                target.value
            )));
        };
        rule.allowlists.push(allowlist);
    }
    Ok(config)
}

fn read(
    text: &str,
    name: &str,
    depth: usize,
    resolve: &dyn Fn(Base<'_>) -> Result<String, String>,
    notes: &mut Vec<Note>,
) -> Result<Config, RuleError> {
    let file = file::read(text, name)?;
    note_version(&file, notes);
    let mut config = Config::default();
    for raw in &file.rules {
        let rule = spec(raw, notes)?;
        if let Some(first) = config.rules.get(&rule.id) {
            let text = format!(
                "rule {:?} stands already in line {}; this one counts",
                rule.id, first.place.line
            );
            notes.push(note(&raw.place, text));
        }
        config.rules.insert(rule.id.clone(), rule);
    }
    for raw in &file.rules {
        for required in &raw.required {
            if !config.rules.contains_key(required.id.as_str()) {
                return Err(required.place.fault(format!(
                    "required: expected the id of a rule of this file, found {:?}",
                    required.id
                )));
            }
        }
    }
    for raw in &file.allowlists {
        let allowlist = Arc::new(Allowlist::new(raw, "")?);
        if raw.target_rules.is_empty() {
            config.allowlists.push(allowlist);
            continue;
        }
        for target in &raw.target_rules {
            config.targeted.push((target.clone(), allowlist.clone()));
        }
    }
    extend(&mut config, &file, depth, resolve, notes)?;
    Ok(config)
}

fn extend(
    config: &mut Config,
    file: &File,
    depth: usize,
    resolve: &dyn Fn(Base<'_>) -> Result<String, String>,
    notes: &mut Vec<Note>,
) -> Result<(), RuleError> {
    if let Some(url) = &file.extend_url {
        notes.push(note(&url.place, "extend.url has no effect".to_owned()));
    }
    let (place, base, name) = match (&file.extend_path, &file.extend_default) {
        (Some(path), Some(_)) => {
            return Err(path
                .place
                .fault("extend: expected path or useDefault, not both"));
        }
        (Some(path), None) => (&path.place, Base::Path(&path.value), path.value.as_str()),
        (None, Some(place)) => (place, Base::Default, "gitleaks' default rules"),
        (None, None) => return Ok(()),
    };
    if depth >= EXTEND_MAX {
        let text = format!("extend has no effect: more than {EXTEND_MAX} files deep");
        notes.push(note(place, text));
        return Ok(());
    }
    let text = resolve(base).map_err(|why| place.fault(format!("extend {name}: {why}")))?;
    let mut extended = read(&text, name, depth + 1, resolve, notes)?;
    for (target, _) in std::mem::take(&mut extended.targeted) {
        let text = "targetRules has no effect in a file that is extended".to_owned();
        notes.push(note(&target.place, text));
    }
    for id in &file.disabled {
        if extended.rules.remove(id.value.as_str()).is_none() {
            let text = format!("disabledRules: {name} has no rule {:?}", id.value);
            notes.push(note(&id.place, text));
        }
    }
    for (id, base) in extended.rules {
        let rule = match config.rules.remove(&id) {
            None => base,
            Some(own) => merge(base, own, notes),
        };
        config.rules.insert(id, rule);
    }
    config.allowlists.append(&mut extended.allowlists);
    Ok(())
}

/// What the extending file says counts; lists are joined.
fn merge(base: Spec, own: Spec, notes: &mut Vec<Note>) -> Spec {
    if !own.required.is_empty() || own.skip_report {
        let text = format!(
            "rule {:?}: required and skipReport have no effect on a rule that is extended",
            own.id
        );
        notes.push(note(&own.place, text));
    }
    let joined = |mut base: Vec<String>, mut own: Vec<String>| {
        base.append(&mut own);
        base
    };
    let mut allowlists = base.allowlists;
    allowlists.extend(own.allowlists);
    Spec {
        place: own.place,
        id: base.id,
        description: if own.description.is_empty() {
            base.description
        } else {
            own.description
        },
        tags: joined(base.tags, own.tags),
        regex: own.regex.or(base.regex),
        path: own.path.or(base.path),
        secret_group: if own.secret_group == 0 {
            base.secret_group
        } else {
            own.secret_group
        },
        entropy: if own.entropy == 0.0 {
            base.entropy
        } else {
            own.entropy
        },
        keywords: joined(base.keywords, own.keywords),
        allowlists,
        required: base.required,
        skip_report: base.skip_report,
    }
}

fn spec(raw: &file::Rule, notes: &mut Vec<Note>) -> Result<Spec, RuleError> {
    let pattern = |at: &Option<At<String>>, key| {
        at.as_ref()
            .map(|at| Pattern::new(at, &raw.id, key))
            .transpose()
    };
    for keyword in &raw.keywords {
        if !keyword.value.is_ascii() {
            let text = format!(
                "rule {:?}: outside ASCII, a keyword is found in lower case only",
                raw.id
            );
            notes.push(note(&keyword.place, text));
        }
    }
    let mut required = Vec::new();
    for one in &raw.required {
        if one.id.is_empty() {
            return Err(one.place.fault("required: expected the id of a rule"));
        }
        required.push(Required {
            id: one.id.as_str().into(),
            within_lines: one.within_lines,
            within_columns: one.within_columns,
        });
    }
    Ok(Spec {
        place: raw.place.clone(),
        id: raw.id.as_str().into(),
        description: raw.description.as_str().into(),
        tags: raw.tags.clone(),
        regex: pattern(&raw.regex, "regex")?,
        path: pattern(&raw.path, "path")?,
        secret_group: raw.secret_group,
        entropy: raw.entropy,
        keywords: raw
            .keywords
            .iter()
            .map(|keyword| keyword.value.to_lowercase())
            .collect(),
        allowlists: raw
            .allowlists
            .iter()
            .map(|list| Allowlist::new(list, &raw.id).map(Arc::new))
            .collect::<Result<_, _>>()?,
        required,
        skip_report: raw.skip_report,
    })
}

/// What must hold of a rule once everything is extended.
fn check(rule: &Spec) -> Result<(), RuleError> {
    if rule.id.trim().is_empty() {
        return Err(rule.place.value("", "id", "expected a name".to_owned()));
    }
    let Some(regex) = &rule.regex else {
        return match rule.path {
            Some(_) => Ok(()),
            None => Err(rule.place.value(
                &rule.id,
                "regex",
                "expected regex or path; with neither, the rule finds nothing".to_owned(),
            )),
        };
    };
    if rule.secret_group > regex.groups() {
        let expected = format!("expected 0 to {}", regex.groups());
        return Err(rule.place.value(&rule.id, "secretGroup", expected));
    }
    Ok(())
}

fn note_version(file: &File, notes: &mut Vec<Note>) {
    let Some(wanted) = &file.min_version else {
        return;
    };
    let numbers: Vec<u64> = wanted
        .value
        .trim_start_matches('v')
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect();
    if numbers.as_slice() > VERSION.as_slice() {
        let text = format!(
            "minVersion {}: newer than 8.30.1, whose reading of the file is followed here",
            wanted.value
        );
        notes.push(note(&wanted.place, text));
    }
}

fn note(place: &Place, text: String) -> Note {
    Note {
        file: place.file.to_string(),
        line: place.line,
        text,
    }
}
