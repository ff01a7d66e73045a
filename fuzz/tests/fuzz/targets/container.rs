//! Archives and compressed files.

use std::thread;

use refwarden_scan::{Finding, Format, Inspection, Large, Limits, example};

use super::scan::{said, scanner};
use crate::archives::{Entry, gzip, tar, xz, zip, zip_of, zstd};
use crate::engine::Target;
use crate::random::{Random, number_of};

/// Whole, and in pieces.
pub fn container() -> Target {
    let secret = example::expand("ghp_{base62:30}{crc32}", 1);
    let file = [
        b"\n",
        secret.as_slice(),
        b"\n",
        "nothing\n".repeat(200).as_bytes(),
    ]
    .concat();
    let later = Entry::streamed("later.txt", &file);
    let mut hidden = Entry::stored("hidden.txt", &file);
    hidden.is_listed = false;
    let seeds = vec![
        zip(&[("a.txt", &file), ("b.txt", b"nothing")]),
        zip_of(&[later, hidden, Entry::stored("c", &file)]),
        tar(&[("a.txt", &file), ("b.txt", b"nothing")]),
        gzip(&file),
        xz(&file),
        zstd(&file),
        gzip(&tar(&[("x.zip", &zip(&[("y.xz", &xz(&file))]))])),
        [b"#!/bin/sh\n".as_slice(), &zip(&[("a", &file)])].concat(),
    ];
    let words: [&[u8]; 12] = [
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"\x1f\x8b\x08",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"ustar",
        b"\x50\x2a\x4d\x18",
        b"7z\xbc\xaf\x27\x1c",
        b"PK\x07\x08",
    ];
    Target {
        name: "",
        seeds,
        words: words.map(<[u8]>::to_vec).to_vec(),
        longest: 32 * 1024,
        run,
    }
}

fn run(bytes: &[u8]) -> String {
    let scanner = scanner();
    let limits = Limits {
        unpacked: 4 << 20,
        ..Limits::default()
    };
    let found = scanner.inspect(bytes, Some(b"x"), &limits);
    assert!(found.total >= found.findings.len() as u64);
    // With the limits of its own, which differ only where much unpacks.
    let whole = scanner.inspect(bytes, Some(b"x"), &Limits::default());
    let pieces = in_pieces(bytes);
    if Format::of(bytes).is_some() {
        assert_eq!(told(&pieces), told(&whole), "pieces change what is found");
    }
    if Format::of(bytes) == Some(Format::Zip) {
        // Read from front to end: nothing that another reader finds is passed over in silence.
        let limits = Limits {
            memory: 3 * bytes.len(),
            ..Limits::default()
        };
        let front =
            scanner.inspect_contents(Format::Zip, &mut &*bytes, bytes.len() as u64, None, &limits);
        let held = scanner.inspect_zip(bytes, &Limits::default());
        if front.unread.is_empty() {
            let known = |it: &&Finding| {
                front
                    .findings
                    .iter()
                    .any(|other| other.fingerprint == it.fingerprint)
            };
            let missed = held.findings.iter().find(|it| !known(it));
            assert_eq!(missed.map(|it| &it.via), None, "passed over");
        }
    }
    let reasons: Vec<&str> = found
        .unread
        .iter()
        .map(|it| it.reason.name())
        .take(4)
        .collect();
    format!("{} {}", said(&found.findings), reasons.join(" "))
}

fn in_pieces(bytes: &[u8]) -> Inspection {
    let scanner = scanner();
    let mut random = Random::new(number_of(bytes));
    thread::scope(|scope| {
        let beginning = &bytes[..bytes.len().min(512)];
        let mut large = Large::start(
            scope,
            &scanner,
            &[Some(b"x")],
            bytes.len() as u64,
            Some(beginning),
        );
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = (rest.len() / 50 + 1 + random.short(15)).min(rest.len());
            let (piece, after) = rest.split_at(size);
            large.push(piece);
            rest = after;
        }
        large.finish(&scanner).unwrap().remove(0)
    })
}

/// What can be compared: order does not matter.
fn told(inspection: &Inspection) -> (Vec<String>, Vec<String>) {
    let mut findings: Vec<String> = inspection
        .findings
        .iter()
        .map(|it| format!("{} {:?} {:?}", it.rule_id, it.span, it.via))
        .collect();
    let mut unread: Vec<String> = inspection
        .unread
        .iter()
        .map(|it| format!("{it:?}"))
        .collect();
    findings.sort();
    unread.sort();
    (findings, unread)
}
