//! Checksums inside token formats.

use sha2::{Digest, Sha256};

/// What the checksum inside a secret says.
///
/// A valid one is a strong sign for; an invalid one lowers the confidence and is reported, but
/// does not by itself acquit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// The format has none that is published.
    NotApplicable,
    /// It holds.
    Valid,
    /// It does not hold: a sample, a typing error, or a private extension of the format.
    Invalid,
}

/// The digits of base62 as GitHub orders them.
pub(crate) const BASE62: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Length of a CRC32 in base62, padded with zeros on the left.
pub(crate) const CRC32_BASE62_LEN: usize = 6;

/// Checks `<prefix>_<random><crc32 of random, six digits of base62>`: GitHub's format since 2021,
/// and npm's.
///
/// Source: <https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>.
pub(crate) fn crc32_base62(token: &[u8]) -> Checksum {
    let body = token
        .iter()
        .position(|byte| *byte == b'_')
        .and_then(|at| token.get(at + 1..));
    let Some(body) = body else {
        return Checksum::Invalid;
    };
    let Some(split) = body.len().checked_sub(CRC32_BASE62_LEN) else {
        return Checksum::Invalid;
    };
    let (random, digits) = body.split_at(split);
    if base62(crc32(random)) == digits {
        Checksum::Valid
    } else {
        Checksum::Invalid
    }
}

/// Checks the account number inside an AWS access key id: it has twelve decimal digits at most.
///
/// Ids issued since 2019 begin, after the four-letter prefix, with a set bit and 40 bits of
/// account number. Nine in ten random ids pass, so passing says nothing.
///
/// Source: <https://awsteele.com/blog/2020/09/26/aws-access-key-format.html>.
pub(crate) fn aws_account(id: &[u8]) -> Checksum {
    let Some(digits) = id.get(4..13) else {
        return Checksum::Invalid;
    };
    let mut bits: u64 = 0;
    for digit in digits {
        // Base32 of RFC 4648.
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'2'..=b'7' => digit - b'2' + 26,
            _ => return Checksum::Invalid,
        };
        bits = (bits << 5) | u64::from(value);
    }
    // Nine digits are 45 bits: the flag, 40 bits of account, 4 more.
    let (flag, account) = (bits >> 44, (bits >> 4) & 0xFF_FFFF_FFFF);
    if flag == 1 && account > 999_999_999_999 {
        Checksum::Invalid
    } else {
        Checksum::NotApplicable
    }
}

/// Checks `<prefix>_<random>_<crc32 of what precedes, least significant byte first, in
/// hexadecimal>`: Grafana's service account tokens.
///
/// Source: <https://github.com/grafana/grafana/tree/main/pkg/components/satokengen>.
pub(crate) fn crc32_hex(token: &[u8]) -> Checksum {
    let split = token.iter().rposition(|byte| *byte == b'_');
    let Some((signed, digits)) = split.and_then(|at| token.split_at_checked(at)) else {
        return Checksum::Invalid;
    };
    let sum = hex::encode(crc32(signed).to_le_bytes());
    if digits.strip_prefix(b"_") == Some(sum.as_bytes()) {
        Checksum::Valid
    } else {
        Checksum::Invalid
    }
}

/// The digits of bech32.
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Checks the last six letters of a bech32 text, in either case.
///
/// Source: <https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki#checksum>.
pub(crate) fn bech32(text: &[u8]) -> Checksum {
    let lower = text.to_ascii_lowercase();
    let split = lower.iter().rposition(|byte| *byte == b'1');
    let Some((prefix, rest)) = split.and_then(|at| lower.split_at_checked(at)) else {
        return Checksum::Invalid;
    };
    let data = rest.iter().skip(1).map(|letter| {
        let value = BECH32.iter().position(|known| known == letter);
        value.and_then(|value| u8::try_from(value).ok())
    });
    let high = prefix.iter().map(|byte| Some(byte >> 5));
    let low = prefix.iter().map(|byte| Some(byte & 31));
    let mut sum: u32 = 1;
    for value in high.chain([Some(0)]).chain(low).chain(data) {
        let Some(value) = value else {
            return Checksum::Invalid;
        };
        let top = sum >> 25;
        sum = ((sum & 0x01FF_FFFF) << 5) ^ u32::from(value);
        for (bit, generator) in BECH32_GENERATORS.into_iter().enumerate() {
            sum ^= generator * ((top >> bit) & 1);
        }
    }
    if sum == 1 {
        Checksum::Valid
    } else {
        Checksum::Invalid
    }
}

/// The generator of BIP 173's code.
const BECH32_GENERATORS: [u32; 5] = [
    0x3B6A_57B2,
    0x2650_8E6D,
    0x1EA1_19FA,
    0x3D42_33DD,
    0x2A14_62B3,
];

/// The digits of base58 as Bitcoin orders them.
pub(crate) const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Checks base58check: the last four bytes are the start of the double SHA-256 of the rest.
///
/// Source: <https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki#serialization-format>.
pub(crate) fn base58check(text: &[u8]) -> Checksum {
    let Some(bytes) = base58(text) else {
        return Checksum::Invalid;
    };
    let Some((payload, sum)) = bytes.split_last_chunk::<4>() else {
        return Checksum::Invalid;
    };
    if Sha256::digest(Sha256::digest(payload)).starts_with(sum) {
        Checksum::Valid
    } else {
        Checksum::Invalid
    }
}

/// Decodes base58. Quadratic in the length: for texts of a hundred letters.
fn base58(text: &[u8]) -> Option<Vec<u8>> {
    // Least significant byte first.
    let mut bytes: Vec<u8> = Vec::new();
    for digit in text {
        let value = BASE58.iter().position(|known| known == digit)?;
        let mut carry = u32::try_from(value).ok()?;
        for byte in &mut bytes {
            carry += u32::from(*byte) * 58;
            let [low, high, ..] = carry.to_le_bytes();
            *byte = low;
            carry = u32::from(high);
        }
        if carry > 0 {
            bytes.push(carry.to_le_bytes()[0]);
        }
    }
    let zeros = text.iter().take_while(|digit| **digit == b'1').count();
    bytes.resize(bytes.len() + zeros, 0);
    bytes.reverse();
    Some(bytes)
}

/// Six base62 digits of a number.
pub(crate) fn base62(mut number: u32) -> [u8; CRC32_BASE62_LEN] {
    let mut digits = [b'0'; CRC32_BASE62_LEN];
    for digit in digits.iter_mut().rev() {
        if let Some(value) = BASE62.get((number % 62) as usize) {
            *digit = *value;
        }
        number /= 62;
    }
    digits
}

/// CRC-32 of ISO 3309 (the one of zip and PNG), bit by bit: tokens are short.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_check_value() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn base62_is_padded() {
        assert_eq!(&base62(0), b"000000");
        assert_eq!(&base62(61), b"00000z");
        assert_eq!(&base62(u32::MAX), b"4gfFC3");
    }

    /// The published sample of <https://github.com/therootcompany/base62-token.js>, in parts.
    #[test]
    fn agrees_with_a_published_sample() {
        let sample = ["ghp", "_", "zQWBuTSOoRi4A9spHcVY5", "ncnsDkxkJ", "0mLq17"].concat();
        assert_eq!(crc32_base62(sample.as_bytes()), Checksum::Valid);
        let other = sample.replace('z', "y");
        assert_eq!(crc32_base62(other.as_bytes()), Checksum::Invalid);
        assert_eq!(crc32_base62(b"short"), Checksum::Invalid);
    }

    /// A sample of Grafana's own tests, in parts.
    #[test]
    fn crc32_hex_agrees_with_a_published_sample() {
        let sample = ["glsa", "_yscW25imSKJIuav8", "zF37RZmnbiDvB05G", "_fcaaf58a"].concat();
        assert_eq!(crc32_hex(sample.as_bytes()), Checksum::Valid);
        let other = sample.replace("RZ", "ZR");
        assert_eq!(crc32_hex(other.as_bytes()), Checksum::Invalid);
        assert_eq!(crc32_hex(b"short"), Checksum::Invalid);
    }

    /// A test vector of BIP 173, and the identity of age's test kit, in parts.
    #[test]
    fn bech32_agrees_with_published_samples() {
        let short = b"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw";
        assert_eq!(bech32(short), Checksum::Valid);
        let sample = [
            "AGE-SECRET",
            "-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2M",
            "MDKWYKLMGR48UAWX40Q2P2LM0",
        ]
        .concat();
        assert_eq!(bech32(sample.as_bytes()), Checksum::Valid);
        let other = sample.replace("LM0", "LM9");
        assert_eq!(bech32(other.as_bytes()), Checksum::Invalid);
        assert_eq!(bech32(b"no separator"), Checksum::Invalid);
    }

    /// The first test vector of BIP 32, in parts.
    #[test]
    fn base58check_agrees_with_a_published_sample() {
        let sample = [
            "xprv",
            "9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPP",
            "qjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
        ]
        .concat();
        assert_eq!(base58check(sample.as_bytes()), Checksum::Valid);
        let other = sample.replace("jPP", "jPQ");
        assert_eq!(base58check(other.as_bytes()), Checksum::Invalid);
        assert_eq!(base58check(b"0"), Checksum::Invalid, "no digit of base58");
        assert_eq!(base58check(b""), Checksum::Invalid);
    }

    #[test]
    fn account_of_a_key_id() {
        let id = |tail: &str| aws_account(["AKIA", tail].concat().as_bytes());
        assert_eq!(id("I234567ABCDEFGHI"), Checksum::NotApplicable, "an old id");
        assert_eq!(id("QAAAAAAAAAAAAAAA"), Checksum::NotApplicable, "account 0");
        assert_eq!(id("7777777777777777"), Checksum::Invalid, "thirteen digits");
        assert_eq!(id("short"), Checksum::Invalid);
    }
}
