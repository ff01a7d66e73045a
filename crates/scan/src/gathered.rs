//! Findings while they come in: as many as are kept, and how many there were.

use crate::finding::Finding;

/// Findings of one input that are kept: those with the smallest spans. The rest is counted.
pub const FINDINGS_MAX: usize = 10_000;

/// Bytes of secrets of one input that are kept; findings beyond are counted.
pub const SECRETS_MAX: usize = 16 << 20;

/// Findings with the index of their rule. Which ones are kept depends on the findings alone,
/// never on the order in which they come in.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    kept: Vec<(usize, Finding)>,
    bytes: usize,
    total: u64,
    is_cut: bool,
}

impl Gathered {
    pub(crate) fn push(&mut self, rule: usize, finding: Finding) {
        self.total += 1;
        self.bytes += size(&finding);
        self.kept.push((rule, finding));
        // Now and then, so that sorting costs little for each.
        if self.kept.len() > 2 * FINDINGS_MAX || self.bytes > 2 * SECRETS_MAX {
            self.prune();
        }
    }

    /// The findings that are kept, how many there were, and whether some were not kept.
    pub(crate) fn finish(mut self) -> (Vec<(usize, Finding)>, u64, bool) {
        if self.kept.len() > FINDINGS_MAX || self.bytes > SECRETS_MAX {
            self.prune();
        }
        (self.kept, self.total, self.is_cut)
    }

    fn prune(&mut self) {
        self.kept.sort_by(|(_, a), (_, b)| {
            let key = |finding: &Finding| (finding.span.start, finding.span.end);
            (key(a), &a.rule_id, &a.via).cmp(&(key(b), &b.rule_id, &b.via))
        });
        let (mut count, mut bytes) = (0, 0);
        for (_, finding) in self.kept.iter().take(FINDINGS_MAX) {
            if bytes + size(finding) > SECRETS_MAX {
                break;
            }
            count += 1;
            bytes += size(finding);
        }
        self.is_cut |= count < self.kept.len();
        self.kept.truncate(count);
        self.bytes = bytes;
    }
}

fn size(finding: &Finding) -> usize {
    let encoded = finding.encoded.as_ref();
    finding.secret.expose().len() + encoded.map_or(0, |encoded| encoded.expose().len())
}
