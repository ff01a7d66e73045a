//! The rules of a file, ready to run.

use std::sync::{Arc, OnceLock};

use regex_automata::meta;

use super::allow::Allowlist;
use super::dfa::Dfa;
use super::load::{Config, Spec};
use super::pattern::{Test, compile};
use super::plan::Plan;
use super::prefilter::{Collected, Prefilter};

/// A rule and how to look for it.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) spec: Spec,
    pub(super) path: Option<Test>,
    /// `None`: the rule is about paths only.
    pub(super) plan: Option<Plan>,
    regex: OnceLock<Option<meta::Regex>>,
    dfa: OnceLock<Option<Dfa>>,
    /// A keyword stands in every match, or there is none.
    pub(super) keyword_implied: bool,
    /// Of other rules, which need matches of this one.
    pub(super) is_required: bool,
    /// Gives way to other rules with the same secret in the same line.
    pub(super) is_generic: bool,
}

impl Compiled {
    /// The pattern of the plan. `None` if it cannot be compiled, which loading has ruled out.
    pub(super) fn regex(&self) -> Option<&meta::Regex> {
        self.regex
            .get_or_init(|| self.plan.as_ref().and_then(|plan| compile(&plan.hir)))
            .as_ref()
    }

    /// The same, to be tried at one place.
    pub(super) fn dfa(&self) -> Option<&Dfa> {
        self.dfa
            .get_or_init(|| self.plan.as_ref().and_then(|plan| Dfa::new(&plan.hir)))
            .as_ref()
    }

    /// Whether it is tried wherever one of its keywords is anywhere in the text.
    pub(super) fn runs_anywhere(&self) -> bool {
        self.plan
            .as_ref()
            .is_some_and(|plan| plan.anchors.is_empty())
    }
}

/// What a list of rules says of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInfo<'r> {
    /// The rule's id.
    pub id: &'r str,
    /// One line that says what it finds; may be empty.
    pub description: &'r str,
    /// Words that group rules.
    pub tags: &'r [String],
    /// Lower case; empty if the rule runs on every text.
    pub keywords: &'r [String],
}

/// All rules of a file and of those it extends.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Sorted by id.
    pub(super) rules: Vec<Compiled>,
    pub(super) allowlists: Vec<Arc<Allowlist>>,
    pub(super) prefilter: Prefilter,
    /// Rules without anchor.
    pub(super) anywhere: Vec<usize>,
    /// Rules about paths only.
    pub(super) path_only: Vec<usize>,
}

impl Engine {
    pub(super) fn new(config: Config) -> Self {
        let required: Vec<Arc<str>> = config
            .rules
            .values()
            .flat_map(|rule| rule.required.iter().map(|required| required.id.clone()))
            .collect();
        let mut literals = Collected::default();
        let mut rules = Vec::new();
        for (index, spec) in config.rules.into_values().enumerate() {
            let plan = spec.regex.as_ref().map(|regex| Plan::new(regex.hir()));
            let keyword_implied = spec.keywords.is_empty()
                || plan
                    .as_ref()
                    .is_some_and(|plan| implied(plan, &spec.keywords));
            for anchor in plan.iter().flat_map(|plan| &plan.anchors) {
                literals.anchor(index, anchor);
            }
            if !keyword_implied {
                for keyword in &spec.keywords {
                    literals.keyword(index, keyword);
                }
            }
            rules.push(Compiled {
                path: spec.path.clone().map(Test::new),
                plan,
                regex: OnceLock::new(),
                dfa: OnceLock::new(),
                keyword_implied,
                is_required: required.contains(&spec.id),
                is_generic: spec.id.to_lowercase().contains("generic"),
                spec,
            });
        }
        let those = |wanted: fn(&Compiled) -> bool| {
            rules
                .iter()
                .enumerate()
                .filter(|(_, rule)| wanted(rule))
                .map(|(index, _)| index)
                .collect()
        };
        Self {
            anywhere: those(Compiled::runs_anywhere),
            path_only: those(|rule| rule.plan.is_none()),
            prefilter: literals.build(),
            allowlists: config.allowlists,
            rules,
        }
    }

    /// All rules, sorted by id.
    pub(crate) fn infos(&self) -> impl Iterator<Item = RuleInfo<'_>> {
        self.rules.iter().map(|rule| RuleInfo {
            id: &rule.spec.id,
            description: &rule.spec.description,
            tags: &rule.spec.tags,
            keywords: &rule.spec.keywords,
        })
    }

    /// Whether an allow-list acquits everything under this path.
    pub(crate) fn skips(&self, path: &[u8]) -> bool {
        self.allowlists.iter().any(|list| list.allows_path(path))
    }

    /// Whether an allow-list names commits.
    pub(crate) fn names_commits(&self) -> bool {
        let of_rules = self.rules.iter().flat_map(|rule| &rule.spec.allowlists);
        let mut all = self.allowlists.iter().chain(of_rules);
        all.any(|list| list.names_commits())
    }

    /// Everything that decides what is found, for the ruleset's id.
    pub(crate) fn identify(&self, part: &mut impl FnMut(&[u8])) {
        part(b"gitleaks");
        part(&(self.allowlists.len() as u64).to_be_bytes());
        for list in &self.allowlists {
            list.identify(part);
        }
        for Compiled { spec, .. } in &self.rules {
            part(spec.id.as_bytes());
            for pattern in [&spec.regex, &spec.path] {
                part(pattern.as_ref().map_or("", |one| one.text()).as_bytes());
            }
            part(&(spec.secret_group as u64).to_be_bytes());
            part(&spec.entropy.to_be_bytes());
            part(&[u8::from(spec.skip_report)]);
            part(&(spec.keywords.len() as u64).to_be_bytes());
            for keyword in &spec.keywords {
                part(keyword.as_bytes());
            }
            part(&(spec.required.len() as u64).to_be_bytes());
            for required in &spec.required {
                part(required.id.as_bytes());
                part(
                    format!("{:?} {:?}", required.within_lines, required.within_columns).as_bytes(),
                );
            }
            part(&(spec.allowlists.len() as u64).to_be_bytes());
            for list in &spec.allowlists {
                list.identify(part);
            }
        }
    }
}

/// Whether each anchor holds a keyword.
fn implied(plan: &Plan, keywords: &[String]) -> bool {
    !plan.anchors.is_empty()
        && plan.anchors.iter().all(|anchor| {
            keywords
                .iter()
                .any(|keyword| memchr::memmem::find(&anchor.literal, keyword.as_bytes()).is_some())
        })
}
