//! From a rule as typed to a rule that can be evaluated.

use std::collections::{BTreeMap, BTreeSet};

use refwarden_model::facts::{FindingConfidence, Mode, UpdateKind};
use regex::bytes::RegexBuilder;
use toml::Spanned;

use super::file::{QuorumIn, RuleIn, SecretLimitIn, SizeIn, Text, Texts, WhenIn};
use super::{PolicyError, Source};
use crate::glob::{Glob, GlobError};
use crate::owners::Owners;
use crate::rule::{
    Asks, Effect, Limits, Pattern, Quorum, Require, Rule, Scope, SecretLimit, Who, signature_kind,
};
use crate::units;
use crate::when::{Hours, When, Window, weekday};

/// The kinds of update that a rule can be about; a moved tag is `non-fast-forward` too.
const KINDS: [&str; 5] = [
    UpdateKind::Create.name(),
    UpdateKind::FastForward.name(),
    UpdateKind::NonFastForward.name(),
    UpdateKind::Delete.name(),
    TAG_MOVE,
];

/// A tag that stands is made to name something else.
pub const TAG_MOVE: &str = "tag-move";

const ACTORS: [&str; 4] = ["group:", "user:", "email:", "kind:"];
const PEOPLE: [&str; 3] = ["group:", "user:", "email:"];

/// The longest window of time that a policy may allow, in seconds: a week.
const MAX_GRANT: u64 = 7 * 86_400;

/// The longest question, in bytes.
const MAX_QUESTION: usize = 500;

type Result<T> = std::result::Result<T, PolicyError>;

pub fn resolve(source: &Source<'_>, mut rule: RuleIn) -> Result<Rule> {
    let at = rule.id.span().start;
    let id = id(source, "rule", &rule.id)?;
    let wrong = |problem: &str| Err(source.error(at, format!("rule '{id}': {problem}")));
    if rule.refs.is_empty() {
        return wrong("expected at least one ref glob");
    }
    let on = kinds(source, &rule.on)?;
    let asks = asks(source, at, &id, &mut rule)?;
    let when = rule.when.take().map(|when| self::when(source, when));
    let bypass = actors(source, std::mem::take(&mut rule.bypass))?;
    let who = Who {
        issuers: std::mem::take(&mut rule.issuers),
        actors: actors(source, std::mem::take(&mut rule.actors))?,
        exclude_actors: actors(source, std::mem::take(&mut rule.exclude_actors))?,
        behalf_of: actors(source, std::mem::take(&mut rule.behalf_of))?,
        claims: values(source, std::mem::take(&mut rule.claims))?,
        exclude_claims: values(source, std::mem::take(&mut rule.exclude_claims))?,
    };
    let scope = Scope {
        repositories: globs(source, std::mem::take(&mut rule.repositories))?,
        exclude_repositories: globs(source, std::mem::take(&mut rule.exclude_repositories))?,
        properties: values(source, std::mem::take(&mut rule.properties))?,
        refs: full_names(source, std::mem::take(&mut rule.refs))?,
        exclude: full_names(source, std::mem::take(&mut rule.exclude))?,
        default_branch: rule.default_branch,
    };
    let paths = paths(source, std::mem::take(&mut rule.paths))?;
    let exclude_paths = self::paths(source, std::mem::take(&mut rule.exclude_paths))?;
    let (effect, mode) = (rule.effect, rule.mode);
    let limits = limits(source, at, &id, rule)?;
    if effect == Effect::Allow && !limits.is_empty() {
        // A broken limit would make such a rule speak for the push.
        return wrong("an allow rule takes no limits; write them into a deny rule");
    }
    if effect == Effect::Allow && !bypass.is_empty() {
        return wrong("bypass goes with deny and require_approval only");
    }
    Ok(Rule {
        file: source.file.to_owned(),
        line: source.line(at),
        when: when.transpose()?,
        id,
        scope,
        who,
        on,
        paths,
        exclude_paths,
        limits,
        effect,
        mode,
        bypass,
        asks,
    })
}

/// Checks the id of a rule or view.
pub fn id(source: &Source<'_>, what: &str, id: &Text) -> Result<String> {
    let text = id.get_ref();
    let id_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if text.is_empty() || text.len() > 100 || !text.chars().all(id_char) {
        let expected = format!("{what} id: expected 1 to 100 letters a-z, digits, '-', '_', '.'");
        return Err(source.error(id.span().start, expected));
    }
    Ok(text.clone())
}

fn kinds(source: &Source<'_>, words: &Texts) -> Result<BTreeSet<&'static str>> {
    let mut kinds = BTreeSet::new();
    for word in words {
        let Some(kind) = KINDS.iter().find(|kind| *kind == word.get_ref()) else {
            let expected =
                "on: expected create, fast-forward, non-fast-forward, delete or tag-move";
            return Err(source.error(word.span().start, expected));
        };
        kinds.insert(*kind);
    }
    if kinds.is_empty() {
        kinds.extend(KINDS);
    }
    Ok(kinds)
}

fn asks(source: &Source<'_>, at: usize, id: &str, rule: &mut RuleIn) -> Result<Asks> {
    let wrong = |problem: &str| Err(source.error(at, format!("rule '{id}': {problem}")));
    let for_people = [
        ("quorum", rule.quorum.is_some()),
        ("approvers", !rule.approvers.is_empty()),
        ("all_of", !rule.all_of.is_empty()),
        ("owners", rule.owners.is_some()),
        ("expires", rule.expires.is_some()),
        ("bind", rule.bind.is_some()),
        ("questions", !rule.questions.is_empty()),
        ("break_glass", !rule.break_glass.is_empty()),
        ("grants", !rule.grants.is_empty()),
        ("longest_grant", rule.longest_grant.is_some()),
        ("authors_may_approve", rule.authors_may_approve.is_some()),
    ];
    if rule.effect != Effect::RequireApproval {
        let given = for_people.iter().find(|(_, given)| *given);
        return match given {
            Some((key, _)) => wrong(&format!("{key} goes with require_approval only")),
            None => Ok(Asks::default()),
        };
    }
    if rule.approvers.is_empty() && rule.all_of.is_empty() && rule.owners.is_none() {
        return wrong("require_approval needs approvers, all_of or owners");
    }
    if rule.approvers.is_empty() && rule.owners.is_none() && rule.quorum.is_some() {
        return wrong("quorum goes with approvers; each all_of has its own");
    }
    let quorum = rule.quorum.unwrap_or(1);
    if quorum == 0 {
        return wrong("quorum: expected 1 or more");
    }
    let mut all_of = Vec::new();
    for group in std::mem::take(&mut rule.all_of) {
        let offset = group.span().start;
        let QuorumIn { quorum, approvers } = group.into_inner();
        let quorum = quorum.unwrap_or(1);
        if quorum == 0 || approvers.is_empty() {
            let expected = "all_of: expected approvers, and a quorum of 1 or more";
            return Err(source.error(offset, expected));
        }
        let approvers = entries(source, approvers, &PEOPLE)?;
        all_of.push(Quorum { quorum, approvers });
    }
    let expires = rule.expires.take().map(|text| {
        let expected = "expires: expected a time such as 30m, 12h or 7d";
        units::seconds(text.get_ref()).ok_or_else(|| source.error(text.span().start, expected))
    });
    let longest_grant = rule.longest_grant.take().map(|text| {
        let expected = "longest_grant: expected a time such as 30m or 2h, at most 7d";
        units::seconds(text.get_ref())
            .filter(|seconds| (1..=MAX_GRANT).contains(seconds))
            .ok_or_else(|| source.error(text.span().start, expected))
    });
    if longest_grant.is_none() && !rule.grants.is_empty() {
        return wrong("grants goes with longest_grant");
    }
    let nobody = rule.grants.is_empty() && rule.approvers.is_empty() && all_of.is_empty();
    if longest_grant.is_some() && nobody {
        return wrong("longest_grant beside owners needs grants: who may open a window");
    }
    for question in &rule.questions {
        let text = question.get_ref();
        if text.trim().is_empty() || text.len() > MAX_QUESTION {
            let expected = "questions: expected 1 to 500 bytes of text each";
            return Err(source.error(question.span().start, expected));
        }
    }
    let questions = std::mem::take(&mut rule.questions);
    Ok(Asks {
        quorum,
        approvers: entries(source, std::mem::take(&mut rule.approvers), &PEOPLE)?,
        all_of,
        owners: rule
            .owners
            .take()
            .map(|name| owners(source, &name))
            .transpose()?,
        expires: expires.transpose()?,
        bind: rule.bind.unwrap_or_default(),
        questions: questions.into_iter().map(Spanned::into_inner).collect(),
        break_glass: entries(source, std::mem::take(&mut rule.break_glass), &PEOPLE)?,
        grants: entries(source, std::mem::take(&mut rule.grants), &PEOPLE)?,
        longest_grant: longest_grant.transpose()?,
        authors_may_approve: rule.authors_may_approve.unwrap_or(false),
    })
}

fn owners(source: &Source<'_>, name: &Text) -> Result<Owners> {
    let file = name.get_ref();
    let text = (source.read)(source.file, file)
        .map_err(|why| source.error(name.span().start, format!("owners '{file}': {why}")))?;
    Owners::parse(&text).map_err(|error| PolicyError {
        file: file.clone(),
        line: error.line,
        problem: error.problem,
    })
}

fn when(source: &Source<'_>, when: Spanned<WhenIn>) -> Result<When> {
    let at = when.span().start;
    let when = when.into_inner();
    let mut weekdays = Vec::new();
    for day in &when.weekdays {
        let expected = "weekdays: expected mon, tue, wed, thu, fri, sat or sun";
        let day = weekday(day.get_ref()).ok_or_else(|| source.error(day.span().start, expected))?;
        weekdays.push(day);
    }
    let mut hours = Vec::new();
    for span in &when.hours {
        let expected = "hours: expected a span such as 09:00-17:30";
        let parsed = Hours::parse(span.get_ref());
        hours.push(parsed.ok_or_else(|| source.error(span.span().start, expected))?);
    }
    let mut windows = Vec::new();
    for window in &when.windows {
        let expected = "windows: expected from and until, dates or local times such as \
                        2026-12-20 or 2026-12-20T18:00, until after from";
        let parsed = Window::parse(&window.get_ref().from, &window.get_ref().until);
        windows.push(parsed.ok_or_else(|| source.error(window.span().start, expected))?);
    }
    if weekdays.is_empty() && hours.is_empty() && windows.is_empty() {
        let expected = "when: expected weekdays, hours or windows";
        return Err(source.error(at, expected));
    }
    let zone = when.time_zone.as_ref();
    let zone_at = zone.map_or(at, |zone| zone.span().start);
    let zone = zone.map_or("UTC", |zone| zone.get_ref());
    let expected = format!("time_zone '{zone}': expected an IANA name such as Europe/Berlin");
    When::new(zone, weekdays, hours, windows, when.outside)
        .ok_or_else(|| source.error(zone_at, expected))
}

fn limits(source: &Source<'_>, at: usize, id: &str, rule: RuleIn) -> Result<Limits> {
    let require: BTreeSet<Require> = rule.require.into_iter().collect();
    let signed = [
        Require::SignedCommits,
        Require::SignedTags,
        Require::SignedPush,
    ];
    let narrows = !rule.signers.is_empty() || !rule.signature_kinds.is_empty();
    if narrows && !signed.iter().any(|word| require.contains(word)) {
        let problem = format!(
            "rule '{id}': signers and signature_kinds go with require = [\"signed-commits\"], \
             \"signed-tags\" or \"signed-push\""
        );
        return Err(source.error(at, problem));
    }
    let mut kinds = BTreeSet::new();
    for kind in rule.signature_kinds {
        let expected = "signature_kinds: expected gpg, ssh or x509";
        let known = signature_kind(kind.get_ref());
        kinds.insert(known.ok_or_else(|| source.error(kind.span().start, expected))?);
    }
    let mut extensions = BTreeSet::new();
    for extension in rule.forbidden_extensions {
        let text = extension.get_ref().to_ascii_lowercase();
        if text.is_empty() || text.starts_with('.') || text.contains(['/', '*']) {
            let expected = "forbidden_extensions: expected an ending without dot, such as exe";
            return Err(source.error(extension.span().start, expected));
        }
        extensions.insert(text);
    }
    let size = rule.max_file_size.map(|size| {
        let expected = "max_file_size: expected bytes, or a size such as \"10 MiB\"";
        let bytes = match size.get_ref() {
            SizeIn::Bytes(bytes) => Some(*bytes),
            SizeIn::Text(text) => units::bytes(text),
        };
        bytes.ok_or_else(|| source.error(size.span().start, expected))
    });
    Ok(Limits {
        require,
        forbid: rule.forbid.into_iter().collect(),
        signature_kinds: kinds,
        signers: globs(source, rule.signers)?,
        ref_must_match: patterns(source, rule.ref_must_match)?,
        ref_must_not_match: patterns(source, rule.ref_must_not_match)?,
        message_must_match: patterns(source, rule.message_must_match)?,
        message_must_not_match: patterns(source, rule.message_must_not_match)?,
        author_email: addresses(source, rule.author_email)?,
        committer_email: addresses(source, rule.committer_email)?,
        max_path_length: rule.max_path_length,
        forbidden_extensions: extensions,
        max_file_size: size.transpose()?,
        lfs: paths(source, rule.lfs)?,
        max_commits: rule.max_commits,
        max_files: rule.max_files,
        max_changed_lines: rule.max_changed_lines,
        max_refs: rule.max_refs,
        max_pushes_per_hour: rule.max_pushes_per_hour,
        max_pushes_per_day: rule.max_pushes_per_day,
        secrets: rule
            .secrets
            .map(|limit| secrets(source, limit))
            .transpose()?,
    })
}

fn secrets(source: &Source<'_>, limit: SecretLimitIn) -> Result<SecretLimit> {
    Ok(SecretLimit {
        rules: globs(source, limit.rules)?,
        confidence: limit.confidence.unwrap_or(FindingConfidence::Low),
        modes: limit.modes.unwrap_or_else(|| vec![Mode::Enforce]),
        places: limit.places,
        pre_existing: limit.pre_existing,
    })
}

pub fn full_names(source: &Source<'_>, texts: Texts) -> Result<Vec<Glob>> {
    for glob in &texts {
        let text = glob.get_ref();
        if !(text.starts_with("refs/") || text.starts_with("**")) {
            let hint = match text.split_once('/') {
                Some(("heads" | "tags", _)) => format!("refs/{text}"),
                _ => format!("refs/heads/{text} or refs/tags/{text}"),
            };
            let problem = format!(
                "'{text}': expected a full ref name glob, which begins with refs/: write {hint}"
            );
            return Err(source.error(glob.span().start, problem));
        }
    }
    globs(source, texts)
}

fn compile(
    source: &Source<'_>,
    texts: Texts,
    new: impl Fn(&str) -> std::result::Result<Glob, GlobError>,
) -> Result<Vec<Glob>> {
    let compile = |text: Text| {
        new(text.get_ref()).map_err(|error| source.error(text.span().start, error.to_string()))
    };
    texts.into_iter().map(compile).collect()
}

pub fn globs(source: &Source<'_>, texts: Texts) -> Result<Vec<Glob>> {
    compile(source, texts, Glob::new)
}

pub fn paths(source: &Source<'_>, texts: Texts) -> Result<Vec<Glob>> {
    compile(source, texts, Glob::for_paths)
}

/// Globs over addresses, which are compared in lower case.
fn addresses(source: &Source<'_>, texts: Texts) -> Result<Vec<Glob>> {
    compile(source, texts, |text| Glob::new(&text.to_ascii_lowercase()))
}

pub fn values(
    source: &Source<'_>,
    table: BTreeMap<String, Texts>,
) -> Result<BTreeMap<String, Vec<Glob>>> {
    let compile = |(key, texts)| Ok((key, globs(source, texts)?));
    table.into_iter().map(compile).collect()
}

fn patterns(source: &Source<'_>, texts: Texts) -> Result<Vec<Pattern>> {
    let compile = |text: Text| {
        let pattern = text.get_ref();
        let at = text.span().start;
        let regex = RegexBuilder::new(pattern).size_limit(1 << 20).build();
        match regex {
            Ok(regex) if pattern.len() <= 1024 => Ok(Pattern {
                source: pattern.clone(),
                regex,
            }),
            Ok(_) => Err(source.error(at, "expected a regular expression of at most 1024 bytes")),
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim();
                let problem = format!("expected a regular expression (Rust syntax): {why}");
                Err(source.error(at, problem))
            }
        }
    };
    texts.into_iter().map(compile).collect()
}

/// Entries that name actors of any kind.
pub fn actors(source: &Source<'_>, texts: Texts) -> Result<Vec<String>> {
    entries(source, texts, &ACTORS)
}

/// Entries that name people.
pub fn people(source: &Source<'_>, texts: Texts) -> Result<Vec<String>> {
    entries(source, texts, &PEOPLE)
}

fn entries(source: &Source<'_>, texts: Texts, prefixes: &[&str]) -> Result<Vec<String>> {
    for entry in &texts {
        let text = entry.get_ref();
        let good = prefixes.iter().any(|prefix| {
            text.strip_prefix(prefix).is_some_and(|name| {
                !name.is_empty() && (*prefix != "kind:" || ["human", "agent", "ci"].contains(&name))
            })
        });
        if !good {
            let expected = format!("'{text}': expected one of {}NAME", prefixes.join("NAME, "));
            return Err(source.error(entry.span().start, expected));
        }
    }
    Ok(texts.into_iter().map(Spanned::into_inner).collect())
}
