//! Secrets inside archives and compressed files, and what is told of those that cannot be read.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

mod archives;

use std::sync::LazyLock;

use archives::{Entry, gzip, tar, xz, zip, zip_of, zstd};
use proptest::prelude::*;
use refwarden_scan::{
    FingerprintKey, Format, Inspection, Large, Limits, Reason, Ruleset, Scanner, example,
};

static RULES: LazyLock<Ruleset> = LazyLock::new(|| Ruleset::builtin().unwrap());

fn scanner() -> Scanner<'static> {
    Scanner::new(&RULES, FingerprintKey::new([7; 32]))
}

fn inspect(bytes: &[u8]) -> Inspection {
    inspect_with(bytes, &Limits::default())
}

fn inspect_with(bytes: &[u8], limits: &Limits) -> Inspection {
    Scanner::new(&RULES, FingerprintKey::new([7; 32])).inspect(bytes, Some(b"a.bin"), limits)
}

fn secret() -> Vec<u8> {
    example::expand("ghp_{base62:30}{crc32}", 1)
}

/// A file with a secret on its second line.
fn file() -> Vec<u8> {
    let filler = "# nothing to see here\n".repeat(500);
    [b"\n", secret().as_slice(), b"\n", filler.as_bytes()].concat()
}

fn layers(via: &[refwarden_scan::Step]) -> String {
    let steps: Vec<String> = via.iter().map(ToString::to_string).collect();
    steps.join(" ")
}

/// Exactly the planted secret, behind these layers, and nothing unread.
#[track_caller]
fn check(bytes: &[u8], path: &str) {
    let found = inspect(bytes);
    assert_eq!(found.unread, [], "{path}");
    let [one] = found.findings.as_slice() else {
        panic!("{path}: {found:#?}");
    };
    assert_eq!(layers(&one.via), path);
    assert_eq!(one.secret.expose(), secret());
    assert_eq!((one.line, one.column), (2, 1), "{path}");
    assert_eq!(found.total, 1);
}

/// These layers and reasons, in order.
#[track_caller]
fn check_unread(found: &Inspection, expected: &[(&str, Reason)]) {
    let unread: Vec<(String, Reason)> = found
        .unread
        .iter()
        .map(|unread| (layers(&unread.via), unread.reason))
        .collect();
    let unread: Vec<(&str, Reason)> = unread
        .iter()
        .map(|(via, reason)| (via.as_str(), *reason))
        .collect();
    assert_eq!(unread, expected);
}

#[test]
fn every_format() {
    check(&zip(&[("docs/a.txt", &file())]), "!docs/a.txt");
    check(&tar(&[("b/c.txt", &file())]), "!b/c.txt");
    check(&gzip(&file()), "gzip");
    check(&xz(&file()), "xz");
    check(&zstd(&file()), "zstd");
}

#[test]
fn members_among_others_and_inside_each_other() {
    let noise = vec![0xA5; 100_000];
    let inner = zip(&[("noise", &noise), ("inner.txt", &file()), ("empty", b"")]);
    check(
        &gzip(&tar(&[("noise", &noise), ("x.zip", &inner)])),
        "gzip !x.zip !inner.txt",
    );
    check(
        &zip(&[("x.tar.xz", &xz(&tar(&[("f", &file())])))]),
        "!x.tar.xz xz !f",
    );
    check(&xz(&gzip(&zstd(&file()))), "xz gzip zstd");
    let twice = [gzip(&noise), gzip(&[b"\n".as_slice(), &secret()].concat())].concat();
    assert_eq!(
        inspect(&twice).findings.len(),
        1,
        "the second member of a gzip file"
    );
    let frames = [
        zstd(&noise),
        b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(),
        zstd(&file()),
    ]
    .concat();
    assert_eq!(
        inspect(&frames).findings.len(),
        1,
        "a later frame of a zstd file"
    );
}

#[test]
fn encoded_text_inside_a_member() {
    let hidden = hex::encode(secret());
    let found = inspect(&zip(&[("a", hidden.as_bytes())]));
    assert_eq!(layers(&found.findings[0].via), "!a hex");
    assert_eq!(found.findings[0].standing().expose(), hidden.as_bytes());
}

#[test]
fn a_stored_member_is_told_once() {
    let found = inspect(&zip_of(&[Entry::stored("s", &file())]));
    let vias: Vec<String> = found.findings.iter().map(|one| layers(&one.via)).collect();
    assert_eq!(
        (vias.as_slice(), found.total),
        (["!s".to_owned()].as_slice(), 1)
    );
}

#[test]
fn path_conditions_apply_to_members() {
    let rules = "provider = \"T\"\n[[rule]]\nid = \"conf\"\ndescription = \"d\"\nkeywords = [\"key-\"]\n\
        pattern = 'key-[0-9]{6}'\npath = '(^|/)app\\.conf$'\nseverity = \"low\"\nconfidence = \"low\"\n";
    let rules = Ruleset::from_toml(&[("t", rules)]).unwrap();
    let scanner = Scanner::new(&rules, FingerprintKey::new([7; 32]));
    let archive = zip(&[
        ("etc/app.conf", b"key-820394"),
        ("etc/app.txt", b"key-820394"),
    ]);
    let found = scanner.inspect(&archive, Some(b"x.zip"), &Limits::default());
    assert_eq!(found.findings.len(), 1);
    let compressed = gzip(b"key-820394");
    let found = scanner.inspect(&compressed, Some(b"app.conf.gz"), &Limits::default());
    assert_eq!(found.findings.len(), 1);
}

#[test]
fn a_zip_behind_other_data_is_looked_into() {
    let archive = zip(&[("a", &file())]);
    check(
        &[b"#!/bin/sh\nexit 0\n".as_slice(), &archive].concat(),
        "!a",
    );
}

#[test]
fn members_that_the_central_directory_leaves_out_are_looked_into() {
    let mut hidden = Entry::deflated("hidden", &file());
    hidden.is_listed = false;
    let archive = zip_of(&[Entry::deflated("shown", b"nothing at all"), hidden]);
    check(&archive, "!hidden");
    // A stream that ends before its central directory.
    let whole = zip(&[("a", &file())]);
    let cut = &whole[..whole.len() - 30];
    let found = inspect(cut);
    assert_eq!(layers(&found.findings[0].via), "!a");
    check_unread(&found, &[("", Reason::Corrupt)]);
}

/// Reads a zip archive from front to end, as one that is too large to be held.
fn from_the_front(bytes: &[u8]) -> Inspection {
    let limits = Limits {
        memory: 4 * bytes.len().min(1 << 20),
        ..Limits::default()
    };
    let scanner = Scanner::new(&RULES, FingerprintKey::new([7; 32]));
    scanner.inspect_contents(Format::Zip, &mut &*bytes, bytes.len() as u64, None, &limits)
}

#[test]
fn a_zip_that_is_not_held_holds_the_same() {
    let noise = vec![0xA5; 3000];
    let mut hidden = Entry::stored("hidden", &file());
    hidden.is_listed = false;
    let mut locked = Entry::deflated("locked", b"whatever it is");
    locked.flags = 1;
    let entries = [
        Entry::stored("noise", &noise),
        Entry::streamed("streamed", &file()),
        Entry::streamed("empty", b""),
        Entry::deflated("deflated", &[file(), file()].concat()),
        Entry::deflated("inner.zip", &zip(&[("inner", &file())])),
        locked,
        hidden,
        Entry::stored("dir/", b""),
        Entry::stored("stored", &file()),
    ];
    let archive = zip_of(&entries);
    let (held, front) = (
        scanner().inspect_zip(&archive, &Limits::default()),
        from_the_front(&archive),
    );
    let told = |found: &Inspection| {
        let mut told: Vec<String> = found
            .findings
            .iter()
            .map(|it| format!("{} {:?}", layers(&it.via), it.span))
            .collect();
        told.sort();
        told
    };
    assert_eq!(told(&front), told(&held));
    assert_eq!(front.findings.len(), 6);
    check_unread(&front, &[("!locked", Reason::Encrypted)]);
}

/// A reader that goes by the central directory finds what a reader from front to end does not.
#[test]
fn a_zip_that_is_not_held_tells_of_what_its_directory_says_otherwise() {
    // The entry leads into the data of a stored member, where another archive stands.
    let inner = zip_of(&[Entry::deflated("x", &file())]);
    let whole = zip_of(&[Entry::stored("a", &inner)]);
    let end = whole.len() - 22;
    let start = u32::from_le_bytes(whole[end + 16..end + 20].try_into().unwrap()) as usize;
    for (field, value) in [(42, 31), (20, 7), (16, 1), (10, 8)] {
        let mut lying = whole.clone();
        lying[start + field] = value;
        let found = from_the_front(&lying);
        assert_eq!(
            found.unread.last().map(|it| (layers(&it.via), it.reason)),
            Some(("!a".to_owned(), Reason::Corrupt)),
            "{field}"
        );
    }
    for cut in [1, 30, 60, whole.len() - 100] {
        let found = from_the_front(&whole[..whole.len() - cut]);
        assert!(
            found.unread.iter().any(|it| it.reason == Reason::Corrupt),
            "{cut}"
        );
    }
    // Where it ends is not known: told, and what follows is looked into.
    let mut endless = Entry::stored("endless", b"no end");
    (endless.flags, endless.is_streamed) = (1 << 3, true);
    let found = from_the_front(&zip_of(&[endless, Entry::deflated("after", &file())]));
    assert_eq!(found.findings.len(), 1);
    check_unread(
        &found,
        &[
            ("!endless", Reason::TooMuchMemory),
            ("!endless", Reason::Corrupt),
        ],
    );
    // A member in the comment at the end.
    let mut commented = zip(&[("a", b"nothing")]);
    let more = zip(&[("b", &file())]);
    let at = commented.len() - 2;
    commented[at..].copy_from_slice(&u16::try_from(more.len()).unwrap().to_le_bytes());
    commented.extend(more);
    assert_eq!(from_the_front(&commented).findings.len(), 1);
}

/// Above 12 MiB, in pieces, as hooks and command line read it.
#[test]
fn a_large_zip_is_looked_into_in_pieces() {
    let noise: Vec<u8> = (0u32..4_000_000)
        .flat_map(|number| number.wrapping_mul(0x9E37_79B1).to_le_bytes())
        .collect();
    let archive = zip_of(&[
        Entry::stored("noise", &noise),
        Entry::streamed("streamed", &file()),
        Entry::deflated("inner.tar.gz", &gzip(&tar(&[("f", &file())]))),
    ]);
    let scanner = scanner();
    let found = std::thread::scope(|scope| {
        let size = archive.len() as u64;
        let mut large = Large::start(scope, &scanner, &[None], size, Some(&archive[..512]));
        archive.chunks(64 << 10).for_each(|piece| large.push(piece));
        large.finish(&scanner).unwrap().remove(0)
    });
    assert_eq!(found.unread, []);
    let vias: Vec<String> = found.findings.iter().map(|one| layers(&one.via)).collect();
    assert_eq!(vias, ["!streamed", "!inner.tar.gz gzip !f"]);
}

#[test]
fn what_cannot_be_read_is_told() {
    let mut locked = Entry::deflated("locked", b"whatever it is");
    locked.flags = 1;
    let mut odd = Entry::deflated("odd", b"whatever it is");
    odd.method = 12;
    let found = inspect(&zip_of(&[locked, odd, Entry::deflated("fine", &file())]));
    assert_eq!(found.findings.len(), 1);
    check_unread(
        &found,
        &[
            ("!locked", Reason::Encrypted),
            ("!odd", Reason::Unsupported),
        ],
    );
    let mut wrong = Entry::deflated("wrong", &file());
    wrong.crc ^= 1;
    let found = inspect(&zip_of(&[wrong]));
    assert_eq!(found.findings.len(), 1);
    check_unread(&found, &[("!wrong", Reason::Corrupt)]);
    for (whole, via) in [
        (gzip(&file()), "gzip"),
        (xz(&file()), "xz"),
        (zstd(&file()), "zstd"),
    ] {
        let found = inspect(&whole[..whole.len() - 9]);
        check_unread(&found, &[(via, Reason::Corrupt)]);
    }
    check_unread(
        &inspect(b"7z\xbc\xaf\x27\x1c\0\x04"),
        &[("", Reason::Unsupported)],
    );
    check_unread(
        &inspect(b"PK\x03\x04 and no more"),
        &[("", Reason::Corrupt)],
    );
}

#[test]
fn bombs_end_soon_and_are_told() {
    // Thousand times its size: 64 MiB from 64 KiB.
    let zeros = vec![0; 64 << 20];
    let bomb = gzip(&zeros);
    let limits = Limits {
        unpacked: 1 << 20,
        ..Limits::default()
    };
    check_unread(&inspect_with(&bomb, &limits), &[("gzip", Reason::TooLarge)]);
    // By its ratio alone: 64 copies of it unpack to 4 GiB.
    let copies: Vec<(String, Vec<u8>)> = (0..8)
        .map(|index| (format!("{index}"), bomb.clone()))
        .collect();
    let copies: Vec<(&str, &[u8])> = copies
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    let nested = gzip(&zip(&copies));
    let found = inspect(&nested);
    assert!(
        found
            .unread
            .iter()
            .any(|unread| unread.reason == Reason::Bomb),
        "{found:?}"
    );
    let mut deep = file();
    for _ in 0..50 {
        deep = gzip(&deep);
    }
    let path = ["gzip"; 8].join(" ");
    check_unread(&inspect(&deep), &[(&path, Reason::TooDeep)]);
    let many: Vec<Entry> = (0..50).map(|_| Entry::stored("x", b"x")).collect();
    let limits = Limits {
        members: 20,
        ..Limits::default()
    };
    check_unread(
        &inspect_with(&zip_of(&many), &limits),
        &[("", Reason::TooManyMembers)],
    );
    let limits = Limits {
        memory: 64 << 10,
        ..Limits::default()
    };
    check_unread(
        &inspect_with(&xz(&file()), &limits),
        &[("xz", Reason::TooMuchMemory)],
    );
}

/// Members of 64 MiB, one behind the other, and all of that packed again.
#[test]
fn ten_gigabytes_from_less_than_a_megabyte() {
    let bomb = gzip(&gzip(&vec![0; 64 << 20]).repeat(160));
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    check_unread(&inspect(&bomb), &[("gzip gzip", Reason::Bomb)]);
}

/// A bomb whose members share their data: each entry of the directory leads to the same bytes.
#[test]
fn overlapping_members_end_soon() {
    let whole = zip(&[("a", &vec![0; 8 << 20])]);
    let end = whole.len() - 22;
    let start = u32::from_le_bytes(whole[end + 16..end + 20].try_into().unwrap()) as usize;
    let entry = &whole[start..end];
    let copies = 1000u32;
    let mut bomb = whole[..start].to_vec();
    bomb.extend(entry.repeat(copies as usize));
    let mut tail = whole[end..].to_vec();
    tail[12..16].copy_from_slice(&(u32::try_from(entry.len()).unwrap() * copies).to_le_bytes());
    bomb.extend(tail);
    let found = inspect(&bomb);
    assert!(
        found
            .unread
            .iter()
            .any(|unread| unread.reason == Reason::Bomb),
        "{found:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is broken, it ends, and either the secret is found or something is told.
    #[test]
    fn a_damaged_container_is_never_passed_over(
        kind in 0..5,
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = match kind {
            0 => zip(&[("x", &file())]),
            1 => gzip(&file()),
            2 => xz(&file()),
            3 => zstd(&file()),
            _ => gzip(&tar(&[("x", &file())])),
        };
        // This zstd file has no checksum: other literals are another text, not a fault.
        for (place, value) in places.into_iter().filter(|_| kind != 3) {
            // Past the magic number: without it, it is no container.
            let at = 6 + place.index(bytes.len() - 6);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(6 + cut.index(bytes.len() - 6));
        }
        let found = inspect(&bytes);
        let hit = found.findings.iter().any(|one| one.secret.expose() == secret());
        prop_assert!(hit || !found.unread.is_empty(), "{:?}", found);
    }

    /// Any bytes behind any magic number: it ends without a panic.
    #[test]
    fn any_bytes_end(magic in 0..8usize, bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let magics: [&[u8]; 8] = [
            b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd",
            b"\x50\x2a\x4d\x18", b"PK\x01\x02", b"",
        ];
        let limits = Limits { unpacked: 1 << 20, memory: 1 << 20, ..Limits::default() };
        let whole = [magics[magic], &bytes].concat();
        inspect_with(&whole, &limits);
        inspect_with(&[whole, bytes, b"PK\x05\x06".to_vec(), vec![0; 18]].concat(), &limits);
    }
}
