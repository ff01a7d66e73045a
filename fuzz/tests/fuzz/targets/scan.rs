//! The scanner on text: encodings, pieces, what changed.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refwarden_scan::{
    Finding, FingerprintKey, Masker, Replaced, Ruleset, Scanner, Version, example,
};

use crate::engine::Target;
use crate::random::{Random, number_of};

static RULES: LazyLock<Ruleset> = LazyLock::new(|| Ruleset::builtin_and_generic(&[]).unwrap());

pub fn scanner() -> Scanner<'static> {
    Scanner::new(&RULES, FingerprintKey::new([7; 32]))
}

/// Examples of every few rules, expanded.
pub fn examples(step: usize) -> Vec<Vec<u8>> {
    let templates = RULES
        .rules()
        .step_by(step)
        .filter_map(|rule| rule.examples().first());
    templates
        .map(|template| example::expand(template, 3))
        .collect()
}

fn escaped(bytes: &[u8], form: fn(u8) -> String) -> Vec<u8> {
    bytes
        .iter()
        .map(|byte| form(*byte))
        .collect::<String>()
        .into_bytes()
}

fn wide(bytes: &[u8], big: bool) -> Vec<u8> {
    let pair = |byte: &u8| if big { [0, *byte] } else { [*byte, 0] };
    bytes.iter().flat_map(pair).collect()
}

/// Encoded text.
pub fn decoder() -> Target {
    let mut seeds = Vec::new();
    for (index, text) in examples(23).into_iter().enumerate() {
        seeds.push(match index % 6 {
            0 => STANDARD.encode(&text).into_bytes(),
            1 => STANDARD
                .encode(&text)
                .into_bytes()
                .chunks(64)
                .collect::<Vec<_>>()
                .join(&b'\n'),
            2 => hex::encode(&text).into_bytes(),
            3 => escaped(&text, |byte| format!("%{byte:02X}")),
            4 => escaped(&text, |byte| format!("\\u{byte:04x}")),
            _ => STANDARD.encode(hex::encode(&text)).into_bytes(),
        });
    }
    Target {
        name: "",
        words: [
            b"\\x41".to_vec(),
            b"%41".to_vec(),
            b"\\u0041".to_vec(),
            b"U+0041".to_vec(),
            b"\\n".to_vec(),
            b"\\101".to_vec(),
            b"\r\n".to_vec(),
            b"====".to_vec(),
            b"QUJD".repeat(8),
            b"41".repeat(16),
            b"\\\"".to_vec(),
        ]
        .to_vec(),
        seeds,
        longest: 64 * 1024,
        run: judged,
    }
}

/// Text of two bytes for each character.
pub fn utf16() -> Target {
    let texts = examples(17);
    let marks = [b"\xff\xfe".as_slice(), b"\xfe\xff", b"\xef\xbb\xbf", b"\0"];
    let seeds = texts.iter().enumerate().map(|(index, text)| {
        let body = wide(text, index % 2 == 1);
        [marks[index % 4], &body].concat()
    });
    Target {
        name: "",
        seeds: seeds.collect(),
        words: marks
            .iter()
            .map(|mark| mark.to_vec())
            .chain([
                wide(b"key = ", false),
                wide(b"key = ", true),
                b"\0\n".to_vec(),
                b"\n\0".to_vec(),
                b"\xd8\x3d\xde\x00".to_vec(),
            ])
            .collect(),
        longest: 64 * 1024,
        run: judged,
    }
}

/// Long texts in pieces: what straddles the bounds of the engine's own.
pub fn chunks() -> Target {
    let filler = b"int main(void) { return 0; }\n".repeat(9_000);
    let texts = examples(41);
    // Around the 256 KiB that a stream gathers.
    let seeds = texts.iter().enumerate().map(|(index, text)| {
        let before = &filler[..(256 << 10) - 97 * (index % 5) - 2000];
        [before, b"\n", text, b"\n", &filler[..30_000]].concat()
    });
    Target {
        name: "",
        seeds: seeds.collect(),
        words: [
            texts,
            vec![b"-----BEGIN RSA".to_vec(), b" PRIVATE KEY-----".to_vec()],
        ]
        .concat(),
        longest: 600 * 1024,
        run: judged,
    }
}

/// What changed between two versions.
pub fn delta() -> Target {
    let filler = b"int main(void) { return 0; }\n".repeat(12_000);
    let texts = examples(37);
    let seeds = texts
        .iter()
        .map(|text| [&filler[..200_000], text, b"\n", &filler[..170_000], text].concat());
    Target {
        name: "",
        seeds: seeds.collect(),
        words: texts,
        longest: 600 * 1024,
        run: |new| {
            let scanner = scanner();
            let mut random = Random::new(number_of(new));
            let start = random.below(new.len() + 1);
            let end = start + random.short(16).min(new.len() - start);
            let old = [&new[..start], &new[end..]].concat();
            let (start, end) = (start as u64, end as u64);
            let change = Replaced {
                old: start..start,
                new: start..end,
            };
            let before = scanner.scan(&old, None);
            let whole = scanner.scan(new, None);
            let (Some(of_old), Some(of_new)) = (scanner.keywords(&old), scanner.keywords(new))
            else {
                return said(&whole);
            };
            let old = Version {
                bytes: &old,
                keywords: &of_old,
            };
            let new = Version {
                bytes: new,
                keywords: &of_new,
            };
            let delta = scanner.scan_delta(new, None, old, &before, &[change]);
            assert_eq!(delta.findings, whole, "inserted {start}..{end}");
            let change = Replaced {
                old: start..end,
                new: start..start,
            };
            let delta = scanner.scan_delta(old, None, new, &whole, &[change]);
            assert_eq!(delta.findings, before, "deleted {start}..{end}");
            said(&whole)
        },
    }
}

/// The rules that found something, and through what.
pub fn said(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let via: Vec<String> = finding.via.iter().map(ToString::to_string).collect();
        format!("{}<{} ", finding.rule_id, via.join("<"))
    };
    findings.iter().take(4).map(one).collect()
}

/// Scans, and holds the findings to the laws of docs/decisions and `crates/scan`.
fn judged(bytes: &[u8]) -> String {
    let scanner = scanner();
    let findings = scanner.scan(bytes, None);
    let mut random = Random::new(number_of(bytes));
    let mut stream = scanner.stream(None);
    let mut rest = bytes;
    while !rest.is_empty() {
        let least = rest.len() / 500;
        let size = (least + 1 + random.short(19)).min(rest.len());
        let (piece, after) = rest.split_at(size);
        stream.push(piece);
        rest = after;
    }
    assert_eq!(stream.finish(), findings, "pieces change what is found");
    for finding in &findings {
        let (start, end) = (finding.span.start as usize, finding.span.end as usize);
        assert!(
            start < end && end <= bytes.len(),
            "{} {start}..{end}",
            finding.rule_id
        );
        assert_eq!(
            &bytes[start..end],
            finding.standing().expose(),
            "{}",
            finding.rule_id
        );
        let lines = bytes[..start].split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(finding.line, lines as u64 + 1, "{}", finding.rule_id);
        assert!(
            finding
                .redacted
                .bytes()
                .all(|byte| (0x20..0x7f).contains(&byte))
        );
    }
    if !findings.is_empty() {
        let mut cleaned = bytes.to_vec();
        for finding in &findings {
            cleaned[finding.span.start as usize..finding.span.end as usize].fill(b'*');
        }
        for left in scanner.scan(&cleaned, None) {
            let same = |it: &&Finding| it.rule_id == left.rule_id && it.span == left.span;
            assert_eq!(
                findings.iter().find(same),
                None,
                "a masked span is found again"
            );
        }
        let masked = Masker::new(&findings).mask(bytes).into_owned();
        for finding in &findings {
            let secret = finding.secret.expose();
            assert!(
                !masked.windows(secret.len()).any(|it| it == secret),
                "{} is not masked",
                finding.rule_id
            );
        }
    }
    said(&findings)
}
