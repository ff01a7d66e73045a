//! What of the matches in a text is reported.

use std::collections::BTreeMap;

use super::load::Required;
use super::run::{Raw, Run};
use crate::checksum::Checksum;
use crate::finding::Finding;
use crate::redact::redacted;
use crate::rule::{Confidence, Severity};
use crate::secret::{FingerprintKey, Secret};

/// A generic rule's match is held against so many secrets of its line; beyond, it is reported.
const SAME_LINE_MAX: usize = 256;

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
        let reported: Vec<&Raw> = self.raws.iter().filter(|raw| self.reports(raw)).collect();
        let mut specific: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
        for raw in &reported {
            if !self.is_generic(raw) {
                let secrets = specific.entry(raw.at.0).or_default();
                if secrets.len() < SAME_LINE_MAX {
                    secrets.push(raw.secret.expose());
                }
            }
        }
        let covered = |raw: &Raw| {
            self.is_generic(raw)
                && specific.get(&raw.at.0).is_some_and(|secrets| {
                    secrets
                        .iter()
                        .any(|secret| memchr::memmem::find(secret, raw.secret.expose()).is_some())
                })
        };
        reported
            .into_iter()
            .filter(|raw| !covered(raw))
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

    fn is_generic(&self, raw: &Raw) -> bool {
        self.engine
            .rules
            .get(raw.rule)
            .is_some_and(|rule| rule.is_generic)
    }

    fn reports(&self, raw: &Raw) -> bool {
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
                .all(|required| self.near(raw, required))
    }

    fn near(&self, raw: &Raw, required: &Required) -> bool {
        let within = |max: Option<u64>, a: u64, b: u64| max.is_none_or(|max| a.abs_diff(b) <= max);
        self.raws.iter().any(|other| {
            self.engine
                .rules
                .get(other.rule)
                .is_some_and(|rule| rule.spec.id == required.id)
                && within(required.within_lines, raw.at.0, other.at.0)
                && within(required.within_columns, raw.column(), other.column())
        })
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
            // The path is no secret: masking it would help nobody.
            secret: if of_path {
                Secret::new(b"")
            } else {
                raw.secret.clone()
            },
        })
    }
}

impl Raw {
    /// The column as gitleaks counts it: behind the first line, one more.
    fn column(&self) -> u64 {
        self.at.1 + u64::from(self.at.0 > 1)
    }
}
