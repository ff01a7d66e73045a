//! What is probably a mistake: a policy that protects nothing, allows nothing, or holds a rule
//! that can never speak or never be met.

use refwarden_model::RefName;
use refwarden_model::facts::Mode;

use crate::glob::Glob;
use crate::parse::Policy;
use crate::rule::{Effect, Rule, Who};
use crate::view::{PlaceholderMove, ViewRule};

/// A warning. `file` and `line` are of the rule or view; empty and 0 where it is about the whole
/// policy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The rule's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What seems wrong, as a sentence.
    pub text: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.rule {
            Some(rule) => write!(
                f,
                "{}:{}: rule '{rule}': {}",
                self.file, self.line, self.text
            ),
            None if self.line > 0 => write!(f, "{}:{}: {}", self.file, self.line, self.text),
            None => write!(f, "{}", self.text),
        }
    }
}

/// All warnings of a policy.
pub fn of(policy: &Policy) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = of_whole(policy)
        .into_iter()
        .map(|text| Warning {
            file: String::new(),
            line: 0,
            rule: None,
            text: text.to_owned(),
        })
        .collect();
    for rule in &policy.rules {
        let mut texts = Vec::new();
        reach(rule, &mut texts);
        people(rule, &mut texts);
        idle(policy, rule, &mut texts);
        warnings.extend(texts.into_iter().map(|text| Warning {
            file: rule.file.clone(),
            line: rule.line,
            rule: Some(rule.id.clone()),
            text,
        }));
    }
    for view in &policy.views.rules {
        let mut texts = Vec::new();
        of_view(view, policy, &mut texts);
        warnings.extend(texts.into_iter().map(|text| Warning {
            file: view.file.clone(),
            line: view.line,
            rule: None,
            text: format!("view '{}': {text}", view.id),
        }));
    }
    warnings.extend(policy.notes.iter().cloned());
    warnings
}

/// Views that nobody can have, or that show nothing.
fn of_view(view: &ViewRule, policy: &Policy, texts: &mut Vec<String>) {
    let asks = view.placeholder_move == PlaceholderMove::Approve;
    if asks && policy.scanning.owners.is_empty() {
        texts.push(
            "placeholder_move asks the owners of rules, and no [[secret_owner]] owns one"
                .to_owned(),
        );
    }
    for glob in view.refs.iter().chain(&view.hide) {
        if !can_match_a_ref(glob) {
            texts.push(format!(
                "'{}' matches no name that a ref can have",
                glob.source()
            ));
        }
    }
    let covered = |globs: &[Glob], out: &[Glob]| {
        globs
            .iter()
            .all(|glob| out.iter().any(|wide| wide.covers(glob)))
    };
    let everything = |globs: &[Glob]| {
        let mut sources = globs.iter().map(Glob::source);
        sources.any(|it| ["**", "refs/**"].contains(&it))
    };
    if everything(&view.hide) || (!view.refs.is_empty() && covered(&view.refs, &view.hide)) {
        texts.push("it shows no ref: all of them are hidden again".to_owned());
    }
    let excluded = &view.exclude_repositories;
    let repositories = &view.repositories;
    if excluded.iter().any(|glob| glob.source() == "**")
        || (!repositories.is_empty() && covered(repositories, excluded))
    {
        texts.push("nobody has it: all of its repositories are excluded again".to_owned());
    }
    let actors = &view.who.actors;
    if !actors.is_empty() && actors.iter().all(|it| view.who.exclude_actors.contains(it)) {
        texts.push("nobody has it: all of its actors are excluded again".to_owned());
    }
}

fn of_whole(policy: &Policy) -> Vec<&'static str> {
    let acting = || {
        policy
            .rules
            .iter()
            .filter(|rule| rule.mode == Mode::Enforce)
    };
    let mut texts = Vec::new();
    let refuses_by_default = policy.default == Effect::Deny;
    if !refuses_by_default && acting().all(|rule| rule.effect == Effect::Allow) {
        texts.push(if policy.secrets == Effect::Deny {
            "no rule denies anything or asks for approval: only secrets are refused"
        } else {
            "the policy protects nothing: no rule denies anything or asks for approval"
        });
    }
    if refuses_by_default && acting().all(|rule| rule.effect != Effect::Allow) {
        texts.push("the policy allows nothing: the default is deny, and no rule allows");
    }
    if acting().any(|rule| rule.effect == Effect::Deny && is_about_all(rule)) {
        texts.push("the policy allows nothing: a rule denies every update of every ref");
    }
    texts
}

/// Whether a rule speaks of every update that its globs are about.
fn is_unconditional(rule: &Rule) -> bool {
    let Who {
        issuers,
        actors,
        exclude_actors,
        behalf_of,
        claims,
        exclude_claims,
    } = &rule.who;
    let anybody = issuers.is_empty()
        && [actors, exclude_actors, behalf_of]
            .iter()
            .all(|list| list.is_empty())
        && claims.is_empty()
        && exclude_claims.is_empty();
    let scope = &rule.scope;
    anybody
        && rule.mode == Mode::Enforce
        && rule.limits.is_empty()
        && rule.paths.is_empty()
        && rule.exclude_paths.is_empty()
        && rule.when.is_none()
        && rule.bypass.is_empty()
        && scope.exclude.is_empty()
        && scope.exclude_repositories.is_empty()
        && scope.properties.is_empty()
        && scope.default_branch.is_none()
}

fn is_about_all(rule: &Rule) -> bool {
    let all = |globs: &[Glob], words: &[&str]| globs.iter().any(|g| words.contains(&g.source()));
    let repositories = &rule.scope.repositories;
    is_unconditional(rule)
        && all(&rule.scope.refs, &["**", "refs/**"])
        && (repositories.is_empty() || all(repositories, &["**"]))
        && ["create", "fast-forward"]
            .iter()
            .all(|kind| rule.on.contains(kind))
}

/// Globs that match nothing, or that are excluded again.
fn reach(rule: &Rule, texts: &mut Vec<String>) {
    let scope = &rule.scope;
    for glob in scope.refs.iter().chain(&scope.exclude) {
        if !can_match_a_ref(glob) {
            texts.push(format!(
                "'{}' matches no name that a ref can have",
                glob.source()
            ));
        }
    }
    let lists = [
        ("refs", &scope.refs, &scope.exclude),
        (
            "repositories",
            &scope.repositories,
            &scope.exclude_repositories,
        ),
        ("paths", &rule.paths, &rule.exclude_paths),
    ];
    for (what, included, excluded) in lists {
        // A glob over paths is not a glob over names, so only what is written alike is compared.
        let covers = |wide: &Glob, glob: &Glob| {
            let alike = wide.source() == glob.source() || wide.source() == "**";
            alike || (what != "paths" && wide.covers(glob))
        };
        let out = |glob: &Glob| excluded.iter().any(|wide| covers(wide, glob));
        if !included.is_empty() && included.iter().all(out) {
            texts.push(format!(
                "it is never asked: all of its {what} are excluded again"
            ));
        }
    }
    let actors = &rule.who.actors;
    if !actors.is_empty()
        && actors
            .iter()
            .all(|entry| rule.who.exclude_actors.contains(entry))
    {
        texts.push("it is never asked: all of its actors are excluded again".to_owned());
    }
    let tags = |glob: &Glob| {
        "refs/tags/".starts_with(glob.literal_prefix())
            || glob.literal_prefix().starts_with("refs/tags/")
    };
    if rule.on.iter().eq(["tag-move"].iter()) && !scope.refs.iter().any(tags) {
        texts.push("it is never asked: only refs under refs/tags/ are tags".to_owned());
    }
    if rule.on.iter().eq(["delete"].iter()) {
        let paths = !rule.paths.is_empty() || !rule.exclude_paths.is_empty();
        if paths || rule.limits.only_about_commits() {
            let text = "it is never asked: a delete brings no commits and changes no paths";
            texts.push(text.to_owned());
        }
    }
}

/// Whether some ref can have a name that a glob matches: the rules of git-check-ref-format(1)
/// are tried on the glob with its wildcards filled in.
fn can_match_a_ref(glob: &Glob) -> bool {
    let mut name = String::new();
    let mut wild = false;
    for c in glob.source().chars() {
        if matches!(c, '*' | '?') {
            if !wild {
                name.push_str(if name.is_empty() { "refs/x" } else { "x" });
            }
            wild = true;
        } else {
            name.push(c);
            wild = false;
        }
    }
    RefName::parse(name.as_bytes()).is_ok()
}

/// Approvers who cannot be enough.
fn people(rule: &Rule, texts: &mut Vec<String>) {
    if rule.effect != Effect::RequireApproval {
        return;
    }
    let asks = &rule.asks;
    let first = (!asks.approvers.is_empty()).then_some((asks.quorum, &asks.approvers));
    let others = asks
        .all_of
        .iter()
        .map(|group| (group.quorum, &group.approvers));
    for (quorum, approvers) in first.into_iter().chain(others) {
        let mut people: Vec<&str> = approvers.iter().map(String::as_str).collect();
        people.sort_unstable();
        people.dedup();
        if people.iter().any(|entry| entry.starts_with("group:")) {
            continue;
        }
        if people.len() < usize::try_from(quorum).unwrap_or(usize::MAX) {
            texts.push(format!(
                "it can never be met: it asks for {quorum} approvals and lists {} people",
                people.len()
            ));
        }
        let actors = &rule.who.actors;
        let named = |entry: &String| entry.starts_with("user:") || entry.starts_with("email:");
        if !actors.is_empty()
            && actors.iter().all(named)
            && people.len() == 1
            && actors.iter().any(|actor| people.contains(&actor.as_str()))
        {
            texts.push(
                "its only approver is an actor it is about, and nobody approves their own \
                        push"
                    .to_owned(),
            );
        }
    }
    if let Some(owners) = &asks.owners {
        if owners.all().is_empty() {
            texts.push("its file of owners gives no path to anybody".to_owned());
        }
        if asks.approvers.is_empty() && asks.all_of.is_empty() {
            texts.push(
                "paths without owners, and deletes, need nobody's approval: approvers \
                        beside owners would be asked for them"
                    .to_owned(),
            );
        }
    }
}

/// Rules that change nothing.
fn idle(policy: &Policy, rule: &Rule, texts: &mut Vec<String>) {
    if rule.mode != Mode::Enforce {
        return;
    }
    if rule.effect == Effect::Allow && policy.default == Effect::Allow {
        texts.push(
            "it changes nothing: what no rule refuses is allowed unless [default] says \
                    deny"
                .to_owned(),
        );
    }
    let covers = |wide: &[Glob], narrow: &[Glob]| {
        narrow
            .iter()
            .all(|glob| wide.iter().any(|wide| wide.covers(glob)))
    };
    let stronger = policy.rules.iter().find(|other| {
        other.effect == Effect::Deny
            && other.id != rule.id
            && is_unconditional(other)
            && rule.on.is_subset(&other.on)
            && covers(&other.scope.refs, &rule.scope.refs)
            && (other.scope.repositories.is_empty()
                || (!rule.scope.repositories.is_empty()
                    && covers(&other.scope.repositories, &rule.scope.repositories)))
    });
    if let Some(stronger) = stronger.filter(|_| rule.effect != Effect::Deny) {
        texts.push(format!(
            "it changes nothing: rule '{}' denies all it is about",
            stronger.id
        ));
    }
}

#[cfg(test)]
mod tests;
