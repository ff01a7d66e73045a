//! What git, and whoever speaks like git, hands over.

use refwarden_gitio::{objects, packidx, pktline};
use refwarden_hooks::updates;
use refwarden_model::{ObjectFormat, Oid, RefName, RequestId};

use super::bytes;
use crate::engine::Target;

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

/// The standard input of pre-receive and post-receive.
pub fn hook_input() -> Target {
    let (zero, one) = ("0".repeat(40), "1".repeat(40));
    let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
    let seeds = bytes(&[
        &format!("{zero} {one} refs/heads/main\n{one} {zero} refs/tags/v1\n"),
        &format!("{zeros} {ones} refs/heads/main\n"),
        &format!("{one} {one} refs/heads/a b\n"),
    ]);
    Target {
        name: "",
        words: bytes(&[
            &zero,
            &one,
            &zeros,
            &ones,
            "refs/heads/",
            "\n",
            " ",
            "..",
            ".lock",
            "\0",
            "@{",
            "\\",
        ]),
        seeds,
        longest: 8 * 1024,
        run: |input| {
            let mut said = String::new();
            for format in FORMATS {
                match updates::read(input, format) {
                    // What is taken is the input, byte for byte: nothing was left out or guessed.
                    Ok(updates) => {
                        let mut again = Vec::new();
                        for update in &updates {
                            again.extend(format!("{} {} ", update.claimed_old, update.new).bytes());
                            again.extend_from_slice(update.name.as_bytes());
                            again.push(b'\n');
                        }
                        assert_eq!(again.to_ascii_lowercase(), input.to_ascii_lowercase());
                        said += &"read ".repeat(updates.len().min(3));
                    }
                    Err(fault) => said.extend([format!("{fault:?}"), " ".to_owned()]),
                }
            }
            said
        },
    }
}

/// pkt-lines.
pub fn pkt_line() -> Target {
    Target {
        name: "",
        seeds: bytes(&[
            "0009want\n0000",
            "0001000200040005x",
            "fff0",
            "001eversion 2\n0000",
        ]),
        words: bytes(&[
            "0000", "0001", "0002", "0003", "0004", "fff0", "fff4", "FFFF", "+123", "0x10",
        ]),
        longest: 70_000,
        run: |input| {
            let mut rest = input;
            let mut count = 0;
            loop {
                match pktline::decode(rest) {
                    Ok(None) => return format!("waits after {}", "packets ".repeat(count)),
                    Err(error) => return format!("{error} after {}", "packets ".repeat(count)),
                    Ok(Some((packet, took))) => {
                        assert!(took >= 4 && took <= rest.len());
                        let mut again = Vec::new();
                        pktline::encode(packet, &mut again).unwrap();
                        assert_eq!(again[..4], rest[..4].to_ascii_lowercase());
                        assert_eq!(again[4..], rest[4..took]);
                        rest = &rest[took..];
                        count = (count + 1).min(4);
                    }
                }
            }
        },
    }
}

/// The index of a pack.
pub fn pack_index() -> Target {
    let mut empty = b"\xfftOc\0\0\0\x02".to_vec();
    empty.resize(8 + 1024 + 40, 0);
    let mut one = b"\xfftOc\0\0\0\x02".to_vec();
    one.extend([0, 0, 0, 1].repeat(256));
    one.extend([0; 20]);
    one.extend([0, 0, 0, 0, 0, 0, 0, 12]);
    one.extend([0; 40]);
    Target {
        name: "",
        seeds: vec![empty, one],
        words: vec![
            vec![0xFF; 4],
            vec![0x80, 0, 0, 0],
            vec![0; 20],
            [0, 0, 0, 2].repeat(20),
        ],
        longest: 8 * 1024,
        run: |input| {
            let said = FORMATS.map(|format| match packidx::parse(input, format) {
                Ok(entries) => {
                    assert!(entries.windows(2).all(|two| two[0].oid < two[1].oid));
                    format!("{} entries", "some ".repeat(entries.len().min(3)))
                }
                Err(error) => error.to_string(),
            });
            said.concat()
        },
    }
}

/// A tree object.
pub fn tree() -> Target {
    let entry = |mode: &str, name: &str| {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &[0xAB; 20]].concat()
    };
    let seeds = vec![
        [
            entry("100644", "a"),
            entry("40000", "b c"),
            entry("120000", "l"),
        ]
        .concat(),
        entry("160000", "m"),
    ];
    Target {
        name: "",
        seeds,
        words: vec![
            b"100644 ".to_vec(),
            b"\0".to_vec(),
            vec![1; 20],
            b" ".to_vec(),
            b"../".to_vec(),
        ],
        longest: 4 * 1024,
        run: |input| {
            let names = FORMATS.map(|format| objects::tree_names(input, format));
            for name in names.iter().flatten().flatten() {
                assert!(!name.contains(&0));
            }
            names
                .map(|it| it.map_or(9, |it| it.len().min(3)))
                .map(|it| ["a", "b", "c", "d", "", "", "", "", "", "-"][it])
                .concat()
        },
    }
}

/// Names of objects, refs and requests.
pub fn names() -> Target {
    let (one, two) = ("1".repeat(40), "f".repeat(64));
    Target {
        name: "",
        seeds: bytes(&[
            "refs/heads/main",
            "refs/tags/a/b",
            &one,
            &two,
            "HEAD",
            "R-0123-4567",
        ]),
        words: bytes(&[
            "refs/", "heads/", "//", "..", "@{", ".lock", "~", "^", ":", "\u{7f}", "é", "[", "*",
            "\\", " ",
        ]),
        longest: 512,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            let oid = Oid::parse(input);
            if let Ok(oid) = &oid {
                assert_eq!(oid.to_string().into_bytes(), input.to_ascii_lowercase());
            }
            let name = RefName::parse(input);
            if let Ok(name) = &name {
                assert_eq!(name.as_bytes(), input);
                // git-check-ref-format(1), rules 1, 3 to 5, 8 to 10.
                let parts: Vec<&[u8]> = input.split(|byte| *byte == b'/').collect();
                let is_bad = |part: &&[u8]| {
                    part.is_empty() || part.starts_with(b".") || part.ends_with(b".lock")
                };
                assert!(!parts.iter().any(is_bad), "{text}");
                let forbidden =
                    |byte: &u8| *byte < 0x20 || *byte == 0x7f || b" ~^:?*[\\".contains(byte);
                assert!(!input.iter().any(forbidden), "{text}");
                assert!(!text.contains("..") && !text.contains("@{"), "{text}");
            }
            let request: Result<RequestId, _> = text.parse();
            if let Ok(request) = &request {
                assert_eq!(request.as_str().parse().as_ref(), Ok(request));
            }
            format!(
                "{} {} {}",
                oid.is_ok(),
                name.map_or_else(|error| error.to_string(), |_| String::new())
                    .split('"')
                    .next()
                    .unwrap_or_default(),
                request.is_ok()
            )
        },
    }
}
