//! What a hook writes down about a push never repeats the push's secrets.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use refwarden_scan::{Finding, FingerprintKey, Masker, Ruleset, Scanner, example};

fn scan(bytes: &[u8]) -> Vec<Finding> {
    let ruleset = Ruleset::builtin().unwrap();
    Scanner::new(&ruleset, FingerprintKey::new([7; 32])).scan(bytes, None)
}

fn token() -> Vec<u8> {
    example::expand("ghp_{base62:30}{crc32}", 3)
}

fn pem() -> Vec<u8> {
    let template = "-----BEGIN {word:RSA} {word:PRIVATE} KEY-----{nl}{pem:800}{nl}\
                    -----END {word:RSA} {word:PRIVATE} KEY-----";
    example::expand(template, 3)
}

fn masked(masker: &Masker, text: &[u8]) -> String {
    String::from_utf8(masker.mask(text).into_owned()).unwrap()
}

#[test]
fn a_token_becomes_its_preview() {
    let token = token();
    let findings = scan(&token);
    let text = [b"fetch ", token.as_slice(), b" and ", &token].concat();
    let preview = &findings[0].redacted;
    assert_eq!(
        masked(&Masker::new(&findings), &text),
        format!("fetch {preview} and {preview}")
    );
}

#[test]
fn text_without_secret_is_borrowed() {
    let masker = Masker::new(&scan(&token()));
    assert!(matches!(
        masker.mask(b"nothing here"),
        std::borrow::Cow::Borrowed(_)
    ));
    assert!(matches!(
        Masker::new(&[]).mask(b"x"),
        std::borrow::Cow::Borrowed(_)
    ));
}

#[test]
fn lines_of_a_key_are_masked_in_a_patch() {
    let pem = String::from_utf8(pem()).unwrap();
    let masker = Masker::new(&scan(pem.as_bytes()));
    for sign in ["+", "-", "> ", "\t\t\"", "@@ -1,2 +1,2 @@ "] {
        let patch: Vec<String> = pem
            .lines()
            .map(|line| format!("{sign}{line}\r\n"))
            .collect();
        let patch = patch.concat();
        let out = masked(&masker, patch.as_bytes());
        for line in pem.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!out.contains(line), "{sign:?} {out}");
        }
        assert!(out.contains("-----BEGIN"), "armour may stay: {out}");
    }
}

#[test]
fn base64_of_a_secret_is_masked_at_every_alignment() {
    let pem = pem();
    let pem_line = pem.split(|byte| *byte == b'\n').nth(3).unwrap();
    for (found_in, secret) in [(token(), token()), (pem.clone(), pem_line.to_vec())] {
        let masker = Masker::new(&scan(&found_in));
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "yz", ":pass"] {
                let plain = [before.as_bytes(), &secret, after.as_bytes()].concat();
                for encoded in [STANDARD.encode(&plain), URL_SAFE.encode(&plain)] {
                    let out = masked(&masker, encoded.as_bytes());
                    let left = out.len() - out.matches('*').count();
                    // Beside the encoded neighbours, up to three characters at either end.
                    let neighbours = (before.len() + after.len()).div_ceil(3) * 4;
                    assert!(left <= neighbours + 8, "{before}|{after}: {out}");
                }
            }
        }
    }
}

#[test]
fn overlapping_secrets_leave_nothing_between() {
    let rules = r#"
provider = "Test"
[[rule]]
id = "left"
description = "l"
keywords = ["left"]
pattern = 'left[a-z]{20}'
severity = "low"
confidence = "low"
[[rule]]
id = "right"
description = "r"
keywords = ["right"]
pattern = 'right[a-z]{20}'
severity = "low"
confidence = "low"
"#;
    let ruleset = Ruleset::from_toml(&[("t.toml", rules)]).unwrap();
    let scanner = Scanner::new(&ruleset, FingerprintKey::new([7; 32]));
    let text = b"leftqwertzuiopasrightghjklmnbvcxyqwertzuip";
    let findings = scanner.scan(text, None);
    assert_eq!(findings.len(), 2);
    let out = masked(&Masker::new(&findings), text);
    assert_eq!(out, format!("{}p", findings[0].redacted));
}
