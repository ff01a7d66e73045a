//! Decides whether what a pattern matched is a secret, and how sure that is.

use crate::checksum::{Checksum, aws_account, base58check, bech32, crc32_base62, crc32_hex};
use crate::placeholder::is_placeholder;
use crate::rule::{ChecksumKind, Confidence, Rule};

/// Why a match counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) entropy: f32,
    pub(crate) checksum: Checksum,
    pub(crate) confidence: Confidence,
}

/// `None` acquits.
pub(crate) fn judge(rule: &Rule, secret: &[u8]) -> Option<Verdict> {
    let entropy = entropy(secret);
    if entropy < rule.entropy || is_placeholder(secret) || rule.allows(secret) {
        return None;
    }
    if rule
        .structure
        .is_some_and(|structure| !structure.holds(secret))
    {
        return None;
    }
    let checksum = match rule.checksum {
        None => Checksum::NotApplicable,
        Some(ChecksumKind::Crc32Base62) => crc32_base62(secret),
        Some(ChecksumKind::AwsAccount) => aws_account(secret),
        Some(ChecksumKind::Crc32Hex) => crc32_hex(secret),
        Some(ChecksumKind::Bech32) => bech32(secret),
        Some(ChecksumKind::Base58check) => base58check(secret),
    };
    let confidence = match checksum {
        Checksum::Invalid => rule.confidence.lowered(),
        Checksum::Valid | Checksum::NotApplicable => rule.confidence,
    };
    Some(Verdict {
        entropy,
        checksum,
        confidence,
    })
}

/// Shannon entropy in bits per byte.
fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "secrets are far shorter than 2^24 bytes"
    )]
    let total = bytes.len() as f32;
    let mut sum = 0.0;
    for count in counts.into_iter().filter(|count| *count > 0) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "secrets are far shorter than 2^24 bytes"
        )]
        let share = count as f32 / total;
        sum -= share * share.log2();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::entropy;

    #[test]
    fn entropy_of_known_texts() {
        for (text, expected) in [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("abcdefgh", 3.0)] {
            assert!((entropy(text.as_bytes()) - expected).abs() < 1e-6, "{text}");
        }
    }
}
