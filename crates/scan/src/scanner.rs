//! The door: a ruleset and a key, applied to bytes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::finding::{Finding, Step};
use crate::gitleaks::Foreign;
use crate::inspect::Inspection;
use crate::redact::redacted;
use crate::rule::{Confidence, Rule};
use crate::ruleset::Ruleset;
use crate::secret::{Fingerprint, FingerprintKey, Secret};
use crate::stream::{PIECE, State, Stream};
use crate::sweep::{Found, Plain, Sweep};

/// Scans bytes with a ruleset. Cheap to make; may be shared between threads.
#[derive(Debug)]
pub struct Scanner<'r> {
    ruleset: &'r Ruleset,
    key: FingerprintKey,
    commit: Option<String>,
    comments: bool,
    paths: Paths,
}

/// What rules with a path condition are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paths {
    /// The path that comes with the bytes.
    Given,
    /// Nothing: all conditions hold, and rules without one do not run.
    OnlyConditional,
}

impl<'r> Scanner<'r> {
    /// Pairs a ruleset with the key under which fingerprints are made.
    pub fn new(ruleset: &'r Ruleset, key: FingerprintKey) -> Self {
        Self {
            ruleset,
            key,
            commit: None,
            comments: true,
            paths: Paths::Given,
        }
    }

    /// Names the commit that what is scanned next belongs to, in hexadecimal: the allow-lists of
    /// a `gitleaks.toml` may name commits.
    #[must_use]
    pub fn in_commit(mut self, commit: &str) -> Self {
        self.commit = Some(commit.to_ascii_lowercase());
        self
    }

    /// The same scanner for what belongs to a commit, see [`Scanner::in_commit`].
    #[must_use]
    pub fn for_commit(&self, commit: &str) -> Self {
        Self {
            ruleset: self.ruleset,
            key: self.key.clone(),
            commit: Some(commit.to_ascii_lowercase()),
            comments: self.comments,
            paths: self.paths,
        }
    }

    /// Reports what a `gitleaks:allow` comment acquits, with [`Finding::allow_comment`] set, to
    /// be recorded or refused. Without this, such findings are dropped, as gitleaks does.
    #[must_use]
    pub fn keep_allowed(mut self) -> Self {
        self.comments = false;
        self
    }

    /// Runs only rules with a path condition, and takes the conditions as fulfilled: where
    /// nothing is found, findings are the same under every path. Rules of a `gitleaks.toml` are
    /// not affected.
    #[must_use]
    pub fn only_conditional(mut self) -> Self {
        self.paths = Paths::OnlyConditional;
        self
    }

    /// The fingerprint of any bytes under the scanner's key.
    pub fn fingerprint(&self, bytes: &[u8]) -> Fingerprint {
        self.key.fingerprint(bytes)
    }

    /// The rules in use.
    pub fn ruleset(&self) -> &'r Ruleset {
        self.ruleset
    }

    /// Finds all secrets in `bytes`, sorted by span, then rule id.
    ///
    /// `path` is the file's path inside its repository, with `/` between names; rules with a
    /// path condition run only when it is given and fits.
    pub fn scan(&self, bytes: &[u8], path: Option<&[u8]>) -> Vec<Finding> {
        self.scan_text(bytes, path).findings
    }

    /// As [`Scanner::scan`], with what was left out.
    pub(crate) fn scan_text(&self, bytes: &[u8], path: Option<&[u8]>) -> Inspection {
        self.take_text(bytes, State::new(self, path))
    }

    /// The same where no keyword stands in `bytes`, and all rules that run have some.
    pub(crate) fn scan_encoded(&self, bytes: &[u8], path: Option<&[u8]>) -> Inspection {
        self.take_text(bytes, State::new(self, path).without_keywords())
    }

    fn take_text(&self, bytes: &[u8], mut state: State<'r>) -> Inspection {
        state.take_whole_foreign(bytes);
        if self.ruleset.compiled().is_empty() {
            return state.finish(self);
        }
        // The same pieces as a stream, without its copy. What is kept before a piece is what a
        // stream would keep.
        let mut end = 0usize;
        loop {
            end = end.saturating_add(PIECE).min(bytes.len());
            let last = end == bytes.len();
            let begin = usize::try_from(state.offset()).unwrap_or(usize::MAX);
            state.take(self, bytes.get(begin..end).unwrap_or_default(), last);
            if last {
                return state.finish(self);
            }
            let keep_from = end.saturating_sub(state.retain());
            state.forget(bytes.get(begin..keep_from).unwrap_or_default());
        }
    }

    /// Starts a scan of bytes that arrive in pieces. `path` as in [`Scanner::scan`].
    pub fn stream(&self, path: Option<&[u8]>) -> Stream<'_> {
        Stream::new(self, path)
    }

    pub(crate) fn sweep(&self, path: Option<&[u8]>) -> Sweep<'r> {
        let mut sweep = Sweep::new(self.ruleset.compiled(), self.ruleset.prefilter(), path);
        if self.paths == Paths::OnlyConditional {
            sweep.apply(|rule| rule.path().is_some());
        }
        sweep
    }

    /// The runs of the rules that come from `gitleaks.toml` files.
    pub(crate) fn foreign(&self, path: Option<&[u8]>) -> Foreign<'r> {
        Foreign::new(self.ruleset.gitleaks(), path, self.commit.as_deref())
    }

    pub(crate) fn finding(&self, found: &Found, secret: &[u8], place: (u64, u64)) -> Finding {
        let rule = self.ruleset.compiled().get(found.rule);
        let (rule_id, description, severity) = rule.map_or_else(
            // Cannot happen: the sweep walks the same rules.
            || {
                (
                    Arc::from("unknown"),
                    Arc::from(""),
                    crate::rule::Severity::Critical,
                )
            },
            |rule| (rule.id.clone(), rule.description.clone(), rule.severity),
        );
        let standing = secret;
        let plain = found.plain.as_ref();
        let secret = plain.map_or(standing, |plain| &plain.secret);
        let steps = |plain: &Plain| plain.via.iter().copied().map(Step::Encoding).collect();
        Finding {
            rule_id,
            description,
            span: found.span.clone(),
            line: place.0,
            column: place.1,
            match_line: place.0,
            redacted: redacted(secret),
            fingerprint: self.key.fingerprint(secret),
            entropy: found.verdict.entropy,
            checksum: found.verdict.checksum,
            severity,
            confidence: found.verdict.confidence,
            generic: rule.is_some_and(Rule::is_generic),
            allow_comment: false,
            via: plain.map(steps).unwrap_or_default(),
            secret: Secret::new(secret),
            encoded: plain.map(|_| Secret::new(standing)),
        }
    }

    /// Drops what was found twice, and what a rule that is surer, or names this one as
    /// superseded, has found as well, and sorts.
    pub(crate) fn conclude(
        &self,
        findings: Vec<(usize, Finding)>,
        foreign: Foreign<'_>,
    ) -> Vec<Finding> {
        let mut findings = once(findings);
        let rules = self.ruleset.compiled();
        let mut overruled: BTreeMap<&str, Vec<Range<u64>>> = BTreeMap::new();
        let mut surer: BTreeMap<Confidence, Vec<Range<u64>>> = BTreeMap::new();
        for (rule, finding) in &findings {
            let Some(rule) = rules.get(*rule) else {
                continue;
            };
            for id in &rule.supersedes {
                overruled.entry(id).or_default().push(finding.span.clone());
            }
            for less in [Confidence::Low, Confidence::Medium] {
                if less < rule.confidence {
                    surer.entry(less).or_default().push(finding.span.clone());
                }
            }
        }
        for spans in overruled.values_mut().chain(surer.values_mut()) {
            spans.sort_by_key(|span| (span.start, span.end));
        }
        findings.retain(|(rule, finding)| {
            let over = overruled.get(&*finding.rule_id);
            let sure = rules
                .get(*rule)
                .and_then(|rule| surer.get(&rule.confidence));
            !over
                .into_iter()
                .chain(sure)
                .any(|spans| touches(spans, &finding.span))
        });
        let mut findings: Vec<Finding> = findings.into_iter().map(|(_, finding)| finding).collect();
        findings.extend(foreign.finish(&self.key, self.comments));
        // Those of the crate's own rules stand first among equals, and stay.
        findings.sort_by(|a, b| {
            (a.span.start, a.span.end, &a.rule_id).cmp(&(b.span.start, b.span.end, &b.rule_id))
        });
        findings.dedup_by(|b, a| (&a.span, &a.rule_id) == (&b.span, &b.rule_id));
        findings
    }
}

/// Of findings of one rule that overlap, keeps the one behind the fewest encodings. Regions of
/// encoded text overlap, and text inside them may need no decoding at all.
fn once(mut findings: Vec<(usize, Finding)>) -> Vec<(usize, Finding)> {
    if findings.iter().all(|(_, finding)| finding.via.is_empty()) {
        return findings;
    }
    findings.sort_by(|(_, a), (_, b)| {
        let key = |finding: &Finding| {
            let span = &finding.span;
            let length = span.end - span.start;
            (finding.via.len(), std::cmp::Reverse(length), span.start)
        };
        (key(a), &a.via, a.fingerprint).cmp(&(key(b), &b.via, b.fingerprint))
    });
    // By rule: spans that are apart, as start and end.
    let mut taken: BTreeMap<usize, BTreeMap<u64, u64>> = BTreeMap::new();
    findings.retain(|(rule, finding)| {
        let spans = taken.entry(*rule).or_default();
        let before = spans.range(..finding.span.end).next_back();
        let is_new = before.is_none_or(|(_, end)| *end <= finding.span.start);
        if is_new {
            spans.insert(finding.span.start, finding.span.end);
        }
        is_new
    });
    findings
}

/// Whether `span` overlaps one of the sorted spans.
fn touches(spans: &[Range<u64>], span: &Range<u64>) -> bool {
    let before = spans.partition_point(|other| other.start < span.end);
    // Spans of different superseding rules may nest, so look back over all that start earlier
    // and could still reach: a secret is never longer than the longest match.
    spans
        .iter()
        .take(before)
        .rev()
        .take_while(|other| other.start + crate::matcher::MATCH_MAX as u64 >= span.start)
        .any(|other| other.end > span.start)
}
