//! Laws that hold for any input: chunking, order of rules, masking.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use refwarden_scan::{Finding, FingerprintKey, MATCH_MAX, Masker, Ruleset, Scanner, example};

fn key() -> FingerprintKey {
    FingerprintKey::new([7; 32])
}

fn scan(ruleset: &Ruleset, bytes: &[u8]) -> Vec<Finding> {
    Scanner::new(ruleset, key()).scan(bytes, None)
}

/// Pieces of text that rules care about, between filler of very different lengths.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let templates: Vec<String> = Ruleset::builtin()
        .unwrap()
        .rules()
        .flat_map(|rule| rule.examples().iter().chain(rule.counter_examples()))
        .cloned()
        .collect();
    let filler = prop_oneof![
        Just(Vec::new()),
        Just(b"\n".to_vec()),
        "[ -~\n]{0,80}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..200),
        (1usize..200_000).prop_map(|length| b"int main(void);\n".repeat(length / 16)),
        Just(b"-----BEGIN RSA".to_vec()),
        Just(b" PRIVATE KEY-----".to_vec()),
        Just(b"gh".to_vec()),
    ];
    let secret = (proptest::sample::select(templates), any::<u64>())
        .prop_map(|(template, seed)| example::expand(&template, seed))
        .boxed();
    let hidden = (secret.clone(), proptest::collection::vec(0u8..7, 1..4))
        .prop_map(|(secret, ways)| ways.into_iter().fold(secret, encode));
    let piece = prop_oneof![2 => filler, 1 => secret, 1 => hidden];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Encodes bytes in one of the ways that the scanner undoes.
fn encode(bytes: Vec<u8>, way: u8) -> Vec<u8> {
    let each = |form: fn(u8) -> String| bytes.iter().map(|byte| form(*byte)).collect::<String>();
    match way {
        0 => STANDARD.encode(bytes).into_bytes(),
        1 => {
            let text = STANDARD.encode(bytes).into_bytes();
            text.chunks(76).collect::<Vec<_>>().join(&b'\n')
        }
        2 => hex::encode(bytes).into_bytes(),
        3 => each(|byte| format!("%{byte:02X}")).into_bytes(),
        4 => each(|byte| format!("\\u{byte:04x}")).into_bytes(),
        5 => bytes.iter().flat_map(|byte| [*byte, 0]).collect(),
        _ => bytes.iter().flat_map(|byte| [0, *byte]).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn chunking_never_changes_findings(
        bytes in text(),
        sizes in proptest::collection::vec(prop_oneof![1usize..5, 1usize..5000, 1usize..900_000], 1..20),
    ) {
        let ruleset = Ruleset::builtin().unwrap();
        let scanner = Scanner::new(&ruleset, key());
        let mut stream = scanner.stream(None);
        let mut rest = bytes.as_slice();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            // Many tiny pieces of a long text would only take long.
            let size = (*size).max(rest.len() / 2000).min(rest.len());
            let (piece, after) = rest.split_at(size);
            stream.push(piece);
            rest = after;
        }
        prop_assert_eq!(stream.finish(), scanner.scan(&bytes, None));
    }

    #[test]
    fn overwriting_a_span_removes_its_finding(bytes in text()) {
        let ruleset = Ruleset::builtin().unwrap();
        let findings = scan(&ruleset, &bytes);
        let mut cleaned = bytes;
        for finding in &findings {
            let start = usize::try_from(finding.span.start).unwrap();
            let end = usize::try_from(finding.span.end).unwrap();
            cleaned[start..end].fill(b'*');
        }
        for left in scan(&ruleset, &cleaned) {
            let touches = |finding: &&Finding| {
                finding.rule_id == left.rule_id && finding.span == left.span
            };
            prop_assert_eq!(findings.iter().find(touches), None);
        }
    }

    #[test]
    fn masked_output_holds_no_secret(bytes in text()) {
        let ruleset = Ruleset::builtin().unwrap();
        let findings = scan(&ruleset, &bytes);
        let masker = Masker::new(&findings);
        let masked = masker.mask(&bytes);
        for finding in &findings {
            prop_assert!(!contains(&masked, finding.secret.expose()), "{}", finding.rule_id);
        }
        prop_assert_eq!(&masker.mask(&masked), &masked);
    }

    #[test]
    fn findings_point_at_their_secret(bytes in text()) {
        let ruleset = Ruleset::builtin().unwrap();
        for finding in scan(&ruleset, &bytes) {
            let start = usize::try_from(finding.span.start).unwrap();
            let end = usize::try_from(finding.span.end).unwrap();
            prop_assert_eq!(&bytes[start..end], finding.standing().expose());
            // Where decoding changes what stands before a secret, the secret itself may stand there
            // as it is.
            prop_assert!(!finding.via.is_empty() || finding.standing() == &finding.secret);
            let before = &bytes[..start];
            let lines = before.split(|byte| *byte == b'\n').count() as u64;
            prop_assert_eq!(finding.line, lines);
            let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            prop_assert_eq!(finding.column, (start - line_start) as u64 + 1);
            prop_assert!(finding.redacted.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

const ONE: (&str, &str) = (
    "one.toml",
    r#"
provider = "Test"
[[rule]]
id = "alpha"
description = "a"
keywords = ["alpha-"]
pattern = 'alpha-[a-z0-9]{4,}'
severity = "low"
confidence = "low"
[[rule]]
id = "beta"
description = "b"
keywords = ["beta-", "gamma-"]
pattern = '(?:beta|gamma)-[0-9]{4}\b'
severity = "low"
confidence = "low"
"#,
);

const TWO: (&str, &str) = (
    "two.toml",
    r#"
provider = "Test"
[[rule]]
id = "delta"
description = "d"
pattern = '(?m)^delta=([a-z]+)$'
secret_group = 1
severity = "low"
confidence = "low"
"#,
);

/// The files of the default rules: what stands before the first rule, and each rule.
fn files() -> Vec<(String, Vec<String>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let file = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut parts = text.split("\n[[rule]]\n").map(str::to_owned);
        (parts.next().unwrap(), parts.collect())
    };
    paths.iter().map(file).collect()
}

fn ruleset(files: &[(String, Vec<String>)]) -> Ruleset {
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|(head, rules)| {
            (
                head.clone(),
                format!("{head}\n[[rule]]\n{}", rules.join("\n[[rule]]\n")),
            )
        })
        .collect();
    let named: Vec<(&str, &str)> = texts.iter().map(|(head, it)| (&**head, &**it)).collect();
    Ruleset::from_toml(&named).unwrap()
}

/// Files in another order, and the rules in each.
fn shuffled() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    let file = |(head, rules): (String, Vec<String>)| {
        let rules = Just(rules).prop_shuffle();
        rules.prop_map(move |rules| (head.clone(), rules))
    };
    let files: Vec<_> = files().into_iter().map(file).collect();
    files.prop_flat_map(|files| Just(files).prop_shuffle())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn order_of_rules_never_matters(files in shuffled(), texts in proptest::collection::vec(text(), 8)) {
        let (own, other) = (ruleset(&self::files()), ruleset(&files));
        prop_assert_eq!(own.id(), other.id());
        for text in texts {
            prop_assert_eq!(scan(&own, &text), scan(&other, &text));
        }
    }
}

#[test]
fn order_of_files_never_matters() {
    let (ab, ba) = (
        Ruleset::from_toml(&[ONE, TWO]).unwrap(),
        Ruleset::from_toml(&[TWO, ONE]).unwrap(),
    );
    assert_eq!(ab.id(), ba.id());
    let text = b"alpha-one1 gamma-2931 \ndelta=hidden\nbeta-19283";
    assert_eq!(scan(&ab, text), scan(&ba, text));
    let ids: Vec<String> = scan(&ab, text)
        .iter()
        .map(|one| one.rule_id.to_string())
        .collect();
    assert_eq!(ids, ["alpha", "beta", "delta"]);
}

#[test]
fn rules_without_keyword_or_bound_obey_the_chunking_law() {
    let ruleset = Ruleset::from_toml(&[ONE, TWO]).unwrap();
    let scanner = Scanner::new(&ruleset, key());
    let mut text = Vec::new();
    for round in 0..40usize {
        text.extend_from_slice(b"\ndelta=");
        text.extend(b"hidden".iter().cycle().take(round * 1511));
        text.extend_from_slice(b"\nalpha-");
        text.extend(b"k3y9w".iter().cycle().take(round * 977));
        text.extend_from_slice(b" beta-2019 ");
    }
    let whole = scanner.scan(&text, None);
    assert!(whole.len() > 60, "{}", whole.len());
    for size in [1009, 65_537, 300_000] {
        let mut stream = scanner.stream(None);
        text.chunks(size).for_each(|piece| stream.push(piece));
        assert_eq!(stream.finish(), whole, "pieces of {size}");
    }
}

#[test]
fn no_secret_is_longer_than_the_stated_maximum() {
    let ruleset = Ruleset::from_toml(&[ONE]).unwrap();
    let text = [b"alpha-".to_vec(), b"a9k2".repeat(MATCH_MAX)].concat();
    let findings = scan(&ruleset, &text);
    assert_eq!(
        findings[0].span,
        0..refwarden_scan::MATCH_DEFAULT_MAX as u64
    );
}
