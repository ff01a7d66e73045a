//! What of the matches in a text is reported.

use std::collections::{BTreeMap, BTreeSet};

use super::engine::Engine;
use super::load::Required;
use super::raw::Raw;
use super::run::Run;
use crate::checksum::Checksum;
use crate::finding::Finding;
use crate::redact::redacted;
use crate::rule::{Confidence, Severity};
use crate::secret::{FingerprintKey, Secret};

/// A generic rule's match is held against so many secrets of its line, and against those that
/// stand around it.
const SAME_LINE_MAX: usize = 64;

impl Run<'_> {
    /// Ends the text and yields its findings, in no order.
    ///
    /// `comments` says whether a `gitleaks:allow` in the line acquits.
    pub(crate) fn finish(mut self, key: &FingerprintKey, comments: bool) -> Vec<Finding> {
        if self.acquitted() {
            return Vec::new();
        }
        self.add_paths();
        if comments {
            self.raws.retain(|raw| !raw.comment);
        }
        let nearby = Nearby::new(&self.raws, self.engine);
        let reported: Vec<&Raw> = self
            .raws
            .iter()
            .filter(|raw| self.reports(raw, &nearby))
            .collect();
        let is_generic = |raw: &&&Raw| {
            let rule = self.engine.rules.get(raw.rule);
            rule.is_some_and(|rule| rule.is_generic)
        };
        let specific = Specific::new(reported.iter().filter(|raw| !is_generic(raw)).copied());
        reported
            .iter()
            .filter(|raw| !(is_generic(raw) && specific.covers(raw)))
            .filter_map(|raw| self.finding(raw, key))
            .collect()
    }

    /// Rules that are about the path alone.
    fn add_paths(&mut self) {
        let engine = self.engine;
        let Some(path) = self.path().filter(|_| self.any).map(<[u8]>::to_vec) else {
            return;
        };
        for &rule in &engine.path_only {
            let Some(compiled) = engine.rules.get(rule) else {
                continue;
            };
            if self.applies(rule, compiled) {
                self.raws.push(Raw::path(rule, Secret::new(&path)));
            }
        }
    }

    fn reports(&self, raw: &Raw, nearby: &Nearby<'_>) -> bool {
        let Some(rule) = self.engine.rules.get(raw.rule) else {
            return false;
        };
        let spec = &rule.spec;
        // A required rule is matched without its keywords, but reports only with one of them.
        !spec.skip_report
            && self.has_keyword(raw.rule)
            && spec
                .required
                .iter()
                .all(|required| nearby.has(raw, required))
    }

    fn finding(&self, raw: &Raw, key: &FingerprintKey) -> Option<Finding> {
        let rule = self.engine.rules.get(raw.rule)?;
        let of_path = rule.plan.is_none();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "0 to 21 bits need no more than a few digits"
        )]
        let entropy = raw.entropy as f32;
        Some(Finding {
            rule_id: rule.spec.id.clone(),
            description: rule.spec.description.clone(),
            span: raw.span.clone(),
            line: raw.secret_at.0,
            column: raw.secret_at.1,
            match_line: raw.at.0,
            redacted: redacted(if of_path { b"" } else { raw.secret.expose() }),
            fingerprint: key.fingerprint(raw.secret.expose()),
            entropy,
            checksum: Checksum::NotApplicable,
            severity: Severity::High,
            confidence: if rule.is_generic {
                Confidence::Low
            } else {
                Confidence::Medium
            },
            generic: rule.is_generic,
            allow_comment: raw.comment,
            via: Vec::new(),
            // The path is no secret: masking it would help nobody.
            secret: if of_path {
                Secret::new(b"")
            } else {
                raw.secret.clone()
            },
            encoded: None,
        })
    }
}

/// Where the rules that others require have matched.
#[derive(Debug, Default)]
struct Nearby<'e> {
    /// By id: columns, by line.
    by_line: BTreeMap<&'e str, BTreeMap<u64, BTreeSet<u64>>>,
    /// By id.
    columns: BTreeMap<&'e str, BTreeSet<u64>>,
}

impl<'e> Nearby<'e> {
    fn new(raws: &[Raw], engine: &'e Engine) -> Self {
        let mut nearby = Self::default();
        for raw in raws {
            let rule = engine.rules.get(raw.rule).filter(|rule| rule.is_required);
            let Some(id) = rule.map(|rule| &*rule.spec.id) else {
                continue;
            };
            let lines = nearby.by_line.entry(id).or_default();
            lines.entry(raw.at.0).or_default().insert(raw.column());
            nearby.columns.entry(id).or_default().insert(raw.column());
        }
        nearby
    }

    fn has(&self, raw: &Raw, required: &Required) -> bool {
        let around =
            |at: u64, distance: u64| at.saturating_sub(distance)..=at.saturating_add(distance);
        let near = |columns: &BTreeSet<u64>| {
            required.within_columns.is_none_or(|distance| {
                columns
                    .range(around(raw.column(), distance))
                    .next()
                    .is_some()
            })
        };
        match required.within_lines {
            None => self.columns.get(&*required.id).is_some_and(near),
            Some(distance) => self.by_line.get(&*required.id).is_some_and(|lines| {
                lines
                    .range(around(raw.at.0, distance))
                    .any(|(_, columns)| near(columns))
            }),
        }
    }
}

/// What rules that are not generic have found.
#[derive(Debug, Default)]
struct Specific<'r> {
    /// By line, no more than [`SAME_LINE_MAX`] each.
    secrets: BTreeMap<u64, BTreeSet<&'r [u8]>>,
    /// By line and start: how far this one and those before it in the line reach.
    reach: BTreeMap<(u64, u64), u64>,
}

impl<'r> Specific<'r> {
    fn new(raws: impl Iterator<Item = &'r Raw>) -> Self {
        let mut specific = Self::default();
        for raw in raws {
            let secrets = specific.secrets.entry(raw.at.0).or_default();
            if secrets.len() < SAME_LINE_MAX {
                secrets.insert(raw.secret.expose());
            }
            let end = specific
                .reach
                .entry((raw.at.0, raw.span.start))
                .or_default();
            *end = raw.span.end.max(*end);
        }
        let (mut line, mut longest) = (0, 0);
        for (&(own, _), end) in &mut specific.reach {
            longest = if own == line { longest.max(*end) } else { *end };
            (line, *end) = (own, longest);
        }
        specific
    }

    /// Whether one of them, in the same line, holds this secret.
    fn covers(&self, raw: &Raw) -> bool {
        let Some(secrets) = self.secrets.get(&raw.at.0) else {
            return false;
        };
        let line = raw.at.0;
        let before = self.reach.range((line, 0)..=(line, raw.span.start));
        let reach = before.map(|(_, end)| *end).next_back();
        reach.is_some_and(|end| end >= raw.span.end)
            || secrets
                .iter()
                .any(|secret| memchr::memmem::find(secret, raw.secret.expose()).is_some())
    }
}
