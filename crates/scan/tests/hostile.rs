//! Inputs made to take memory or time. Each ends, and says what it left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use refwarden_scan::{
    DECODE_DEPTH, FINDINGS_MAX, FingerprintKey, Reason, Ruleset, Scanner, example,
};

fn key() -> FingerprintKey {
    FingerprintKey::new([7; 32])
}

fn secret() -> Vec<u8> {
    example::expand("ghp_{base62:30}{crc32}", 1)
}

/// One line of 512 MiB (4 GiB would take half a minute on one core), never held as a whole.
#[test]
fn a_line_without_end() {
    let ruleset = Ruleset::builtin().unwrap();
    let scanner = Scanner::new(&ruleset, key());
    let mut stream = scanner.stream(None);
    let piece = b"all work and no play, ".repeat(1 << 15);
    let count = (512 << 20) / piece.len();
    for _ in 0..count {
        stream.push(&piece);
    }
    stream.push(&secret());
    let found = stream.inspect();
    assert_eq!((found.findings.len(), found.unread.len()), (1, 0));
    assert_eq!(found.findings[0].line, 1);
    assert_eq!(found.findings[0].span.start, (count * piece.len()) as u64);
}

/// Each is counted; those that are kept do not depend on how the bytes arrive.
#[test]
fn a_million_findings() {
    let rules = "provider = \"T\"\n[[rule]]\nid = \"many\"\ndescription = \"d\"\nkeywords = [\"k-\"]\n\
        pattern = 'k-[0-9]{4}'\nseverity = \"low\"\nconfidence = \"low\"\n";
    let ruleset = Ruleset::from_toml(&[("t", rules)]).unwrap();
    let scanner = Scanner::new(&ruleset, key());
    let text = b"k-8209\n".repeat(1_000_000);
    let whole = scanner.inspect(&text, None, &refwarden_scan::Limits::default());
    assert_eq!(whole.total, 1_000_000);
    assert_eq!(whole.findings.len(), FINDINGS_MAX);
    assert_eq!(whole.findings.last().unwrap().line, FINDINGS_MAX as u64);
    for size in [70_001, 1 << 20] {
        let mut stream = scanner.stream(None);
        text.chunks(size).for_each(|piece| stream.push(piece));
        assert_eq!(stream.inspect(), whole, "pieces of {size}");
    }
}

#[test]
fn deep_base64() {
    let ruleset = Ruleset::builtin().unwrap();
    let scanner = Scanner::new(&ruleset, key());
    let mut text = secret();
    for depth in 1..=20 {
        text = STANDARD.encode(text).into_bytes();
        let found = scanner.scan(&text, None);
        assert_eq!(found.len(), usize::from(depth <= DECODE_DEPTH), "{depth}");
    }
}

/// Every alignment and every encoding of this seems to be text, again and again.
#[test]
fn text_that_decodes_to_text_everywhere() {
    let ruleset = Ruleset::builtin().unwrap();
    let scanner = Scanner::new(&ruleset, key());
    let text = [
        b"A".repeat(8 << 20),
        b"%41\\x41".repeat(100_000),
        vec![0; 1 << 20],
    ]
    .concat();
    assert_eq!(scanner.scan(&text, None), []);
    let mut stream = scanner.stream(None);
    text.chunks(300_007).for_each(|piece| stream.push(piece));
    let found = stream.inspect();
    for unread in &found.unread {
        assert_eq!(unread.reason, Reason::TooMuchEncoded);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A rule file with anything in it loads or is refused in words; it never panics.
    #[test]
    fn any_rule_file_ends(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[ -~\n]{0,6}"), 0..6),
        noise in "\\PC{0,80}",
    ) {
        let mut text = "provider = \"T\"\n[[rule]]\nid = \"a\"\ndescription = \"d\"\nkeywords = [\"k-\"]\n\
            pattern = 'k-([0-9]{4})'\nsecret_group = 1\nentropy = 1.5\nseverity = \"low\"\n\
            confidence = \"low\"\nchecksum = \"crc32-base62\"\nmax_length = 40\n".to_owned();
        for (place, piece) in cuts {
            let at = place.index(text.len() + 1);
            text.insert_str(at, &piece);
        }
        for text in [text, noise] {
            if let Err(error) = Ruleset::from_toml(&[("f.toml", &text)]) {
                prop_assert!(error.to_string().starts_with("f.toml:"), "{error}");
            }
        }
    }
}
