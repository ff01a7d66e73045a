//! Archives and compressed files, and what cannot be searched.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::report::is_valid;
use super::{Desk, planted};

/// The magic number of 7z.
const SEVEN_ZIP: &[u8] = b"7z\xbc\xaf\x27\x1c\0\x04";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Text of this length that holds nothing.
fn filler(length: usize) -> String {
    let lines =
        (0..).map(|number: u64| format!("{:x}\n", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let mut text: String = lines.take(length / 17 + 1).collect();
    text.truncate(length);
    text
}

/// Writes `members` as an archive that git makes: `zip`, `tar`, `tar.gz`.
#[track_caller]
fn archive(desk: &Desk, name: &str, members: &[(&str, &[u8])]) {
    let from = Desk::repository();
    for (member, content) in members {
        from.write(member, content);
    }
    from.commit("Packed");
    let output = desk.path().join(name);
    from.git(&["archive", "-o", output.to_str().unwrap(), "HEAD"]);
}

#[test]
fn a_secret_inside_is_found_wherever_the_archive_is() {
    let desk = Desk::repository();
    let held = format!("x\nkey = {}\n", planted(1));
    archive(&desk, "inner.zip", &[("dir/secret.env", held.as_bytes())]);
    let inner = std::fs::read(desk.path().join("inner.zip")).unwrap();
    archive(&desk, "outer.tar.gz", &[("inner.zip", &inner)]);
    let expected = [
        "inner.zip!dir/secret.env:2:7: github-pat",
        "outer.tar.gz!inner.zip!dir/secret.env:2:7: github-pat",
        "through gzip",
        "2 findings",
    ];
    let files = desk.scan(&["."]);
    assert_eq!(files.code, Some(1), "{files}");
    files.says(&expected);
    let piped = desk.scan_with(&["-"], &inner);
    assert_eq!(piped.code, Some(1), "{piped}");
    piped.says(&["standard input!dir/secret.env:2:7"]);
    desk.git(&["add", "-A"]);
    desk.scan(&["--staged"]).fails(&[]).says(&expected);
    desk.commit("Begin");
    desk.scan(&["--history"]).fails(&[]).says(&expected);

    let report = desk.json(&["--history"]);
    let via: Vec<&Value> = report.lines.iter().map(|line| &line["via"]).collect();
    let steps = serde_json::json!([
        ["!dir/secret.env"],
        ["gzip", "!inner.zip", "!dir/secret.env"]
    ]);
    assert_eq!(serde_json::json!(via), steps);
    let sarif = is_valid(&desk.scan(&["--history", "--sarif"]).fails(&[]).text());
    let result = &sarif["runs"][0]["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "inner.zip");
    assert_eq!(place["region"], Value::Null, "no line of the archive");

    // It stood in the archive of the same path before; elsewhere it is new.
    archive(
        &desk,
        "inner.zip",
        &[("dir/secret.env", held.as_bytes()), ("more", b"more\n")],
    );
    desk.git(&["add", "-A"]);
    let said = desk.scan(&["--staged"]).passes();
    said.says(&["0 findings (1 there before)"]);
    desk.git(&["mv", "inner.zip", "elsewhere.zip"]);
    desk.scan(&["--staged"])
        .fails(&[])
        .says(&["elsewhere.zip!dir/secret.env"]);

    desk.scan(&["--history", "--write-baseline", "../known"])
        .passes();
    desk.scan(&["--history", "--baseline", "../known"]).passes();
}

#[test]
fn a_large_archive_is_searched_in_pieces() {
    let desk = Desk::repository();
    let long = filler(9 << 20);
    let last = format!("{}\n", planted(2));
    let members = [("a", long.as_bytes()), ("z", last.as_bytes())];
    archive(&desk, "large.tar", &members);
    archive(&desk, "large.zip", &members);
    archive(&desk, "large.tar.gz", &members);
    assert!(
        std::fs::metadata(desk.path().join("large.tar.gz"))
            .unwrap()
            .len()
            > 4 << 20
    );
    let expected = ["large.tar!z:1:1", "large.tar.gz!z:1:1", "large.zip!z:1:1"];
    let report = desk.json(&["."]);
    assert_eq!(report.summary["findings"], 3, "{}", report.summary);
    desk.scan(&["."]).fails(&[]).says(&expected);
    desk.commit("Begin");
    desk.scan(&["--history"]).fails(&[]).says(&expected);
}

#[test]
fn what_cannot_be_searched_is_said_and_what_is_made_to_exhaust_counts() {
    let desk = Desk::repository();
    desk.write("a.7z", SEVEN_ZIP);
    let packed = gzip(filler(10_000).as_bytes());
    desk.write("broken.gz", &packed[..packed.len() - 9]);
    let said = desk.scan(&["."]).passes();
    said.says(&[
        "note: a.7z: not searched for secrets",
        "note: broken.gz: not searched for secrets",
        "0 findings (2 not searched)",
    ]);
    let report = desk.json(&["."]);
    assert_eq!(report.summary["not_searched"], 2);
    assert_eq!(report.lines[0]["rule"], "unread-format");
    assert_eq!(report.lines[0]["status"], "noted");
    is_valid(&desk.scan(&[".", "--sarif"]).passes().text());

    desk.write("bomb.gz", gzip(&vec![0; 64 << 20]));
    let said = desk.scan(&["."]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&["bomb.gz", "unread-bomb", "1 finding (2 not searched)"]);
    is_valid(&desk.scan(&[".", "--sarif"]).fails(&[]).text());
    desk.scan(&[".", "--write-baseline", "../known"]).passes();
    desk.scan(&[".", "--baseline", "../known"])
        .passes()
        .says(&["1 in the baseline", "2 not searched"]);
}

#[test]
fn a_member_named_like_a_secret_is_not_told() {
    let desk = Desk::repository();
    let content = format!("{}\n", planted(3));
    archive(&desk, "a.tar", &[(&planted(4), content.as_bytes())]);
    // `scan` sees to it that nothing that is printed holds one.
    for arguments in [&["."][..], &[".", "--json"], &[".", "--sarif"]] {
        desk.scan(arguments).fails(&[]).says(&["github-pat"]);
    }
}

/// Around the members of an archive that is inside of something, too.
#[test]
fn names_and_headers_inside_are_searched() {
    let desk = Desk::new();
    let from = Desk::repository();
    std::os::unix::fs::symlink(planted(5), from.path().join("link")).unwrap();
    from.write(format!("k/{}", planted(6)), "x\n");
    from.commit("Packed");
    let output = |name: &str| desk.path().join(name);
    for name in ["a.tar.gz", "inner.zip"] {
        let output = output(name);
        from.git(&["archive", "-o", output.to_str().unwrap(), "HEAD"]);
    }
    let inner = std::fs::read(output("inner.zip")).unwrap();
    archive(&desk, "outer.zip", &[("inner.zip", &inner)]);
    archive(&desk, "outer.tar.gz", &[("inner.zip", &inner)]);
    for name in ["a.tar.gz", "outer.zip", "outer.tar.gz"] {
        let report = desk.json(&[name]);
        assert_eq!(report.counted().len(), 2, "{name}: {:?}", report.lines);
    }
}

/// A zstd file may begin with a frame that is skipped (RFC 8878, section 3.1.2).
#[test]
fn a_zstd_file_that_begins_with_a_skippable_frame() {
    let desk = Desk::new();
    let text = format!("key = {}\n", planted(7));
    // Two blocks that are not compressed: the secret stands in neither.
    let mut packed = b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec();
    packed.extend(b"\x28\xb5\x2f\xfd\x20");
    packed.push(u8::try_from(text.len()).unwrap());
    let halves = text.as_bytes().split_at(20);
    for (block, is_last) in [(halves.0, 0), (halves.1, 1)] {
        let header = u32::try_from(block.len() << 3 | is_last).unwrap();
        packed.extend(&header.to_le_bytes()[..3]);
        packed.extend(block);
    }
    desk.write("a.zst", &packed);
    desk.scan(&["a.zst"])
        .fails(&["github-pat"])
        .says(&["through zstd"]);
}
