//! Secrets behind encodings, and that their spans map back to the encoded text.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use refwarden_scan::{Finding, FingerprintKey, Masker, Ruleset, Scanner, example};

fn scan(bytes: &[u8]) -> Vec<Finding> {
    let ruleset = Ruleset::builtin().unwrap();
    Scanner::new(&ruleset, FingerprintKey::new([7; 32])).scan(bytes, None)
}

fn token(seed: u64) -> Vec<u8> {
    example::expand("ghp_{base62:30}{crc32}", seed)
}

fn via(finding: &Finding) -> String {
    let names: Vec<String> = finding.via.iter().map(ToString::to_string).collect();
    names.join(",")
}

/// Exactly one finding: the token, behind these encodings; its span holds `standing`.
#[track_caller]
fn check(text: &[u8], expected: &[u8], path: &str, standing: Option<&[u8]>) {
    let findings = scan(text);
    let [one] = findings.as_slice() else {
        panic!("{path}: {findings:#?}");
    };
    assert_eq!(via(one), path);
    assert_eq!(one.secret.expose(), expected, "{path}");
    let span = usize::try_from(one.span.start).unwrap()..usize::try_from(one.span.end).unwrap();
    assert_eq!(&text[span.clone()], one.standing().expose(), "{path}");
    if let Some(standing) = standing {
        assert_eq!(&text[span], standing, "{path}");
    }
}

fn wrap(text: &str, width: usize, line_end: &str) -> String {
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(width)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    lines.join(line_end)
}

fn escaped(text: &[u8], one: impl Fn(u8) -> String) -> Vec<u8> {
    text.iter()
        .map(|byte| one(*byte))
        .collect::<String>()
        .into()
}

#[test]
fn base64_in_both_alphabets_at_every_alignment() {
    let secret = token(1);
    for before in ["", "a", "ab", "abc", "\u{e9}?>\u{f8} "] {
        for after in ["", "\n", "~~~ end"] {
            let plain = [before.as_bytes(), b" ", &secret, after.as_bytes()].concat();
            for encoded in [
                STANDARD.encode(&plain),
                STANDARD_NO_PAD.encode(&plain),
                URL_SAFE_NO_PAD.encode(&plain),
            ] {
                check(encoded.as_bytes(), &secret, "base64", None);
                let text = format!("data: \"{encoded}\",\n");
                check(text.as_bytes(), &secret, "base64", None);
            }
        }
    }
    // Where the run is glued to a path of the same alphabet.
    let exact = STANDARD_NO_PAD.encode(&secret);
    for before in ["x/", "ab/", "abc/", "a/b/c/"] {
        let text = format!("{before}{exact}");
        check(text.as_bytes(), &secret, "base64", Some(exact.as_bytes()));
    }
}

#[test]
fn base64_wrapped_over_lines() {
    let secret = token(2);
    let plain = [
        "# settings\n".repeat(9).as_bytes(),
        &secret,
        b"\nmore = 1\n",
    ]
    .concat();
    let encoded = STANDARD.encode(&plain);
    for line_end in ["\n", "\r\n", "\n    ", "\\n", "\n\t"] {
        for width in [40, 64, 76] {
            let text = format!("  {}\n", wrap(&encoded, width, line_end));
            check(text.as_bytes(), &secret, "base64", None);
        }
    }
}

#[test]
fn a_private_key_in_base64_is_whole() {
    let pem = example::expand(
        "-----BEGIN {word:RSA} PRIVATE KEY-----{nl}{pem:1600}{nl}-----END {word:RSA} PRIVATE KEY-----",
        3,
    );
    let encoded = STANDARD.encode(&pem);
    check(encoded.as_bytes(), &pem, "base64", None);
    let account = [
        br#"{"type":"service_account","private_key":""#.as_slice(),
        &pem,
        b"\"}",
    ]
    .concat();
    check(
        wrap(&STANDARD.encode(account), 76, "\n").as_bytes(),
        &pem,
        "base64",
        None,
    );
}

#[test]
fn hexadecimal() {
    let secret = token(4);
    let encoded = hex::encode(&secret);
    check(encoded.as_bytes(), &secret, "hex", Some(encoded.as_bytes()));
    let upper = encoded.to_ascii_uppercase();
    let text = format!("key = 0x{upper};");
    check(text.as_bytes(), &secret, "hex", Some(upper.as_bytes()));
}

#[test]
fn percent() {
    let secret = token(5);
    let all = escaped(&secret, |byte| format!("%{byte:02X}"));
    check(&all, &secret, "percent", Some(&all));
    let text = [b"https://host/?t=", all.as_slice(), b"&u=1 x"].concat();
    check(&text, &secret, "percent", Some(&all));
    let some = String::from_utf8(secret.clone())
        .unwrap()
        .replace('_', "%5f");
    check(some.as_bytes(), &secret, "percent", Some(some.as_bytes()));
}

#[test]
fn backslash_escapes() {
    let secret = token(6);
    for form in [
        |byte: u8| format!("\\u{byte:04x}"),
        |byte: u8| format!("\\x{byte:02X}"),
        |byte: u8| format!("\\{byte:03o}"),
        |byte: u8| format!("\\u{{{byte:x}}}"),
        |byte: u8| format!("\\U{byte:08x}"),
    ] {
        let all = escaped(&secret, form);
        let text = [b"x = \"", all.as_slice(), b"\";\n"].concat();
        check(&text, &secret, "escape", Some(&all));
    }
}

#[test]
fn utf16_of_both_orders_with_and_without_mark() {
    let secret = token(7);
    let text = format!(
        "a = 1\r\nb = {}\r\n",
        String::from_utf8(secret.clone()).unwrap()
    );
    for mark in ["", "\u{feff}"] {
        let units: Vec<u16> = format!("{mark}{text}").encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        check(&little, &secret, "utf-16le", None);
        check(&big, &secret, "utf-16be", None);
        assert_eq!(scan(&little)[0].line, 2);
        let inside = [b"\x7fELF\x02\x01".as_slice(), &[0; 10], &little].concat();
        check(&inside, &secret, "utf-16le", None);
    }
}

#[test]
fn encodings_inside_each_other() {
    let secret = token(8);
    let twice = STANDARD.encode(STANDARD.encode(&secret));
    check(twice.as_bytes(), &secret, "base64,base64", None);
    let percent = escaped(STANDARD_NO_PAD.encode(&secret).as_bytes(), |byte| {
        format!("%{byte:02x}")
    });
    check(&percent, &secret, "percent,base64", Some(&percent));
    // PowerShell's -EncodedCommand.
    let command = format!("$t = '{}'", String::from_utf8(secret.clone()).unwrap());
    let units: Vec<u8> = command.encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(
        STANDARD.encode(units).as_bytes(),
        &secret,
        "base64,utf-16le",
        None,
    );
    let three = STANDARD.encode(hex::encode(STANDARD.encode(&secret)));
    check(three.as_bytes(), &secret, "base64,hex,base64", None);
    let four = hex::encode(three);
    assert_eq!(scan(four.as_bytes()), [], "deeper than stated");
}

#[test]
fn plain_text_beside_escapes_is_found_once_and_as_it_is() {
    let secret = token(9);
    let text = [
        b"\"{\\\"a\\\": \\\"".as_slice(),
        &secret,
        b"\\\", \\u0041 %41\"\n",
    ]
    .concat();
    check(&text, &secret, "", Some(&secret));
}

#[test]
fn what_is_not_text_is_left_alone() {
    let secret = token(10);
    let mut noise = vec![0x93u8; 40];
    noise.extend(&secret[..6]);
    noise.extend([0xA7; 40]);
    assert_eq!(scan(STANDARD.encode(noise).as_bytes()), []);
}

#[test]
fn a_secret_across_the_cut_of_a_long_run_is_found_once() {
    let secret = token(11);
    let encoded = |before: usize| {
        let filler = "the quick brown fox ".repeat(before / 20 + 1);
        let plain = [&filler.as_bytes()[..before], &secret, &b" ".repeat(40_000)].concat();
        STANDARD.encode(plain)
    };
    // 32 KiB of base64 hold 24 KiB.
    for before in (24 * 1024 - 60..24 * 1024 + 20).step_by(7) {
        check(encoded(before).as_bytes(), &secret, "base64", None);
    }
    check(encoded(1_000_000).as_bytes(), &secret, "base64", None);
}

#[test]
fn the_masker_knows_the_encoded_form() {
    let secret = token(12);
    for text in [
        hex::encode(&secret).into_bytes(),
        escaped(&secret, |byte| format!("\\x{byte:02x}")),
        secret.iter().flat_map(|byte| [*byte, 0]).collect(),
    ] {
        let findings = scan(&text);
        let masked = Masker::new(&findings).mask(&text).into_owned();
        assert!(scan(&masked).is_empty());
        assert!(masked.len() < text.len());
    }
}
