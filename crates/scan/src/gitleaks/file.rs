//! Reads one `gitleaks.toml` as it stands, before any `extend`.
//!
//! Keys, types and their reading as gitleaks 8.30 has them (`config/config.go`, read by viper):
//! keys in any case, unknown ones ignored, a text where a list is expected is split at commas,
//! a number where a text is expected is its text and the other way round.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::RuleError;

/// Where something stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    /// 1-based.
    pub(super) line: usize,
}

impl Place {
    /// An error that belongs to no rule.
    pub(super) fn fault(&self, message: impl Into<String>) -> RuleError {
        RuleError::Syntax {
            file: self.file.to_string(),
            line: self.line,
            message: message.into(),
        }
    }

    pub(super) fn value(&self, rule: &str, key: &'static str, expected: String) -> RuleError {
        RuleError::Value {
            file: self.file.to_string(),
            line: self.line,
            rule: rule.to_owned(),
            key,
            expected,
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A whole file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) min_version: Option<At<String>>,
    pub(super) extend_path: Option<At<String>>,
    pub(super) extend_url: Option<At<String>>,
    pub(super) extend_default: Option<Place>,
    pub(super) disabled: Vec<At<String>>,
    pub(super) allowlists: Vec<Allowlist>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) place: Place,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) regex: Option<At<String>>,
    pub(super) path: Option<At<String>>,
    pub(super) secret_group: usize,
    pub(super) entropy: f64,
    pub(super) keywords: Vec<At<String>>,
    pub(super) tags: Vec<String>,
    pub(super) allowlists: Vec<Allowlist>,
    pub(super) required: Vec<Required>,
    pub(super) skip_report: bool,
}

#[derive(Debug)]
pub(super) struct Required {
    pub(super) place: Place,
    pub(super) id: String,
    pub(super) within_lines: Option<u64>,
    pub(super) within_columns: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Allowlist {
    pub(super) place: Place,
    pub(super) condition: String,
    pub(super) commits: Vec<String>,
    pub(super) paths: Vec<At<String>>,
    pub(super) regex_target: String,
    pub(super) regexes: Vec<At<String>>,
    pub(super) stopwords: Vec<String>,
    pub(super) target_rules: Vec<At<String>>,
}

/// Reads a file; `name` is for messages.
pub(super) fn read(text: &str, name: &str) -> Result<File, RuleError> {
    let source = Source {
        name: name.into(),
        line_starts: memchr::memchr_iter(b'\n', text.as_bytes()).collect(),
    };
    let root = DeTable::parse(text).map_err(|error| {
        source
            .place(error.span().map_or(0, |span| span.start))
            .fault(error.message())
    })?;
    let root = Table {
        source: &source,
        entries: root.get_ref(),
        place: source.place(0),
    };
    let extend = root.table("extend")?;
    let mut file = File {
        min_version: root.text("minVersion")?,
        extend_path: None,
        extend_url: None,
        extend_default: None,
        disabled: Vec::new(),
        allowlists: allowlists(&root, "[allowlist]", "[[allowlists]]")?,
        rules: Vec::new(),
    };
    if let Some(extend) = extend {
        file.extend_path = extend.text("path")?.filter(|path| !path.value.is_empty());
        file.extend_url = extend.text("url")?.filter(|url| !url.value.is_empty());
        if extend.flag("useDefault")? {
            file.extend_default = Some(extend.place.clone());
        }
        file.disabled = extend.texts("disabledRules")?;
    }
    for rule in root.tables("rules")? {
        file.rules.push(self::rule(&rule)?);
    }
    Ok(file)
}

fn rule(table: &Table<'_>) -> Result<Rule, RuleError> {
    let some = |text: Option<At<String>>| text.filter(|text| !text.value.is_empty());
    let id = table.text("id")?;
    let mut required = Vec::new();
    for one in table.tables("required")? {
        required.push(Required {
            id: one.text("id")?.map(|id| id.value).unwrap_or_default(),
            within_lines: one.count("withinLines")?,
            within_columns: one.count("withinColumns")?,
            place: one.place,
        });
    }
    Ok(Rule {
        place: id
            .as_ref()
            .map_or_else(|| table.place.clone(), |id| id.place.clone()),
        id: id.map(|id| id.value).unwrap_or_default(),
        description: table
            .text("description")?
            .map(|text| text.value)
            .unwrap_or_default(),
        regex: some(table.text("regex")?),
        path: some(table.text("path")?),
        secret_group: table
            .count("secretGroup")?
            .map_or(0, |group| usize::try_from(group).unwrap_or(usize::MAX)),
        entropy: table.number("entropy")?.unwrap_or(0.0),
        keywords: table.texts("keywords")?,
        tags: values(table.texts("tags")?),
        allowlists: allowlists(table, "[rules.allowlist]", "[[rules.allowlists]]")?,
        required,
        skip_report: table.flag("skipReport")?,
    })
}

/// Both the old form, one table, and the new one, a list; not both at once.
fn allowlists(
    table: &Table<'_>,
    old_name: &str,
    new_name: &str,
) -> Result<Vec<Allowlist>, RuleError> {
    let old = table.table("allowlist")?;
    let new = table.tables("allowlists")?;
    if let (Some(old), false) = (&old, new.is_empty()) {
        return Err(old.place.fault(format!(
            "{old_name} is the old form of {new_name}; expected one of them, not both"
        )));
    }
    old.into_iter()
        .chain(new)
        .map(|table| {
            Ok(Allowlist {
                condition: table
                    .text("condition")?
                    .map(|text| text.value)
                    .unwrap_or_default(),
                commits: values(table.texts("commits")?),
                paths: table.texts("paths")?,
                regex_target: table
                    .text("regexTarget")?
                    .map(|text| text.value)
                    .unwrap_or_default(),
                regexes: table.texts("regexes")?,
                stopwords: values(table.texts("stopwords")?),
                target_rules: table.texts("targetRules")?,
                place: table.place,
            })
        })
        .collect()
}

fn values(texts: Vec<At<String>>) -> Vec<String> {
    texts.into_iter().map(|text| text.value).collect()
}

struct Source {
    name: Arc<str>,
    /// Offsets of all line ends.
    line_starts: Vec<usize>,
}

impl Source {
    fn place(&self, offset: usize) -> Place {
        Place {
            file: self.name.clone(),
            line: self.line_starts.partition_point(|end| *end < offset) + 1,
        }
    }
}

/// A table of the file, asked by key in any case.
struct Table<'t> {
    source: &'t Source,
    entries: &'t DeTable<'t>,
    place: Place,
}

impl<'t> Table<'t> {
    fn entry(&self, key: &str) -> Option<(&'t Spanned<DeValue<'t>>, Place)> {
        let (_, value) = self
            .entries
            .iter()
            .find(|(name, _)| name.get_ref().eq_ignore_ascii_case(key))?;
        Some((value, self.source.place(value.span().start)))
    }

    fn wrong(place: &Place, key: &str, expected: &str, found: &DeValue<'_>) -> RuleError {
        place.fault(format!(
            "{key}: expected {expected}, found {}",
            found.type_str()
        ))
    }

    fn text(&self, key: &str) -> Result<Option<At<String>>, RuleError> {
        let Some((value, place)) = self.entry(key) else {
            return Ok(None);
        };
        match scalar(value.get_ref()) {
            Some(value) => Ok(Some(At { value, place })),
            None => Err(Self::wrong(&place, key, "a text", value.get_ref())),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<At<String>>, RuleError> {
        let Some((value, place)) = self.entry(key) else {
            return Ok(Vec::new());
        };
        if let DeValue::Array(items) = value.get_ref() {
            return items
                .iter()
                .map(|item| {
                    let place = self.source.place(item.span().start);
                    match scalar(item.get_ref()) {
                        Some(value) => Ok(At { value, place }),
                        None => Err(Self::wrong(&place, key, "a text", item.get_ref())),
                    }
                })
                .collect();
        }
        let Some(text) = scalar(value.get_ref()) else {
            return Err(Self::wrong(&place, key, "a list of texts", value.get_ref()));
        };
        let part = |value: &str| At {
            value: value.to_owned(),
            place: place.clone(),
        };
        Ok(match text.as_str() {
            "" => Vec::new(),
            text => text.split(',').map(part).collect(),
        })
    }

    fn number(&self, key: &str) -> Result<Option<f64>, RuleError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match text.value.replace('_', "").parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(text.place.fault(format!("{key}: expected a number"))),
        }
    }

    fn count(&self, key: &str) -> Result<Option<u64>, RuleError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match text.value.replace('_', "").parse::<u64>() {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(text
                .place
                .fault(format!("{key}: expected a whole number, 0 or more"))),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, RuleError> {
        let Some((value, place)) = self.entry(key) else {
            return Ok(false);
        };
        match scalar(value.get_ref()).as_deref() {
            Some("true" | "1") => Ok(true),
            Some("false" | "0" | "") => Ok(false),
            _ => Err(Self::wrong(&place, key, "true or false", value.get_ref())),
        }
    }

    fn sub(&self, entries: &'t DeTable<'t>, place: Place) -> Table<'t> {
        Table {
            source: self.source,
            entries,
            place,
        }
    }

    fn table(&self, key: &str) -> Result<Option<Table<'t>>, RuleError> {
        match self.entry(key) {
            None => Ok(None),
            Some((value, place)) => match value.get_ref() {
                DeValue::Table(entries) => Ok(Some(self.sub(entries, place))),
                other => Err(Self::wrong(&place, key, "a table", other)),
            },
        }
    }

    fn tables(&self, key: &str) -> Result<Vec<Table<'t>>, RuleError> {
        let Some((value, place)) = self.entry(key) else {
            return Ok(Vec::new());
        };
        match value.get_ref() {
            DeValue::Table(entries) => Ok(vec![self.sub(entries, place)]),
            DeValue::Array(items) => items
                .iter()
                .map(|item| {
                    let place = self.source.place(item.span().start);
                    match item.get_ref() {
                        DeValue::Table(entries) => Ok(self.sub(entries, place)),
                        other => Err(Self::wrong(&place, key, "a list of tables", other)),
                    }
                })
                .collect(),
            other => Err(Self::wrong(&place, key, "a list of tables", other)),
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .ok()
                .map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
