//! Paths that are no text, and other things that git allows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Desk, planted};

#[test]
fn paths_are_bytes() {
    let name = b"caf\xe9 \x1b[31m\n.env";
    let desk = Desk::repository();
    desk.write(name, planted(1));
    let shown = "caf\\xe9 \\x1b[31m\\x0a.env:1:1: github-pat";
    desk.scan(&["."]).fails(&[shown]);
    desk.git(&["add", "-A"]);
    desk.scan(&["--staged"]).fails(&[shown]);
    desk.commit("Add");
    desk.scan(&["--history"]).fails(&[shown]);
    let report = desk.json(&["--history"]);
    let encoded = report.lines[0]["path"]["base64"].as_str().unwrap();
    assert_eq!(encoded, "Y2Fm6SAbWzMxbQouZW52");
    let sarif = desk.scan(&["--history", "--sarif"]).text();
    assert!(
        sarif.contains(r#""uri":"caf%E9%20%1B%5B31m%0A.env""#),
        "{sarif}"
    );
}

#[test]
fn links_and_empty_repositories() {
    let desk = Desk::repository();
    desk.scan(&["--history"])
        .passes()
        .says(&["0 files, 0 commits"]);
    std::os::unix::fs::symlink(planted(1), desk.path().join("link")).unwrap();
    desk.commit("A link");
    assert_eq!(desk.json(&["--history"]).counted(), ["link:1:1"]);
}

#[test]
fn many_tags_and_objects_in_packs() {
    let desk = Desk::repository();
    for number in 0..5u64 {
        desk.write(format!("f{number}"), planted(number).repeat(2));
        desk.commit(&format!("Add {number}"));
        desk.git(&["tag", "-a", "-m", "x", &format!("t{number}")]);
    }
    let loose = desk.json(&["--history"]);
    desk.git(&["repack", "-adq"]);
    desk.git(&["pack-refs", "--all"]);
    let packed = desk.json(&["--history"]);
    assert_eq!(packed.lines, loose.lines);
    assert_eq!(packed.summary["tags"], 5);
    desk.write("g", planted(6));
    desk.commit("Loose again");
    let both = desk.json(&["--history", "--jobs", "3"]);
    assert_eq!(both.counted().len(), packed.counted().len() + 1);
}

/// Versions of one file whose packs hold only differences: each has what it would have alone.
#[test]
fn versions_are_scanned_where_they_differ() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::of_format(format);
        let mut lines: Vec<String> = (0..900)
            .map(|line| format!("    let value_{line} = token(password, {line});\n"))
            .collect();
        let mut place = 0usize;
        for version in 0..40u64 {
            place = (place * 31 + 57) % lines.len();
            let number = version / 5;
            match version % 5 {
                0 => lines.insert(place, format!("key = {}\n", planted(number))),
                // In two pieces, by which it is none.
                1 => {
                    let (begin, end) = (&planted(number)[..20], &planted(number)[20..]);
                    let whole = lines.iter_mut().find(|it| it.contains(begin));
                    *whole.unwrap() = format!("key = {begin}\n{end}\n");
                }
                2 => {
                    let encoded = encoded(&planted(number), 76);
                    lines.insert(place, encoded);
                }
                3 => drop(lines.drain(place..(place + 9).min(lines.len()))),
                _ => lines.insert(0, format!("// version {version}\r\n")),
            }
            let name = if version < 30 {
                "a/source.rs"
            } else {
                "b/.npmrc"
            };
            if version == 30 {
                desk.git(&["rm", "-q", "a/source.rs"]);
            }
            desk.write(name, lines.concat());
            desk.commit(&format!("Version {version}"));
        }
        for selected in [&["--history"][..], &["--range", "HEAD~39..HEAD"]] {
            let loose = desk.json(selected);
            assert!(loose.counted().len() > 10, "{:?}", loose.counted());
            let packed = desk.path().with_extension("packed");
            let (from, to) = (desk.path(), packed.display().to_string());
            desk.git
                .text(&from, &["clone", "-q", "--bare", "--no-local", ".", &to]);
            desk.git.text(&packed, &["repack", "-adfq", "--depth=50"]);
            let report = desk.json(&[selected, &["--repo", &to]].concat());
            assert_eq!(report.lines, loose.lines);
            assert_eq!(report.summary["bytes"], loose.summary["bytes"]);
            std::fs::remove_dir_all(packed).unwrap();
        }
    }
}

/// A file at several paths, of which some mean more to rules than others, is one file with one
/// secret.
#[test]
fn one_content_at_many_paths_counts_once() {
    let desk = Desk::repository();
    for path in ["a", "b/c", ".npmrc", "x/.npmrc", ".env"] {
        desk.write(path, format!("key = {}\n", planted(1)));
        desk.commit(path);
    }
    for packed in [false, true] {
        if packed {
            desk.git(&["repack", "-adq"]);
        }
        let report = desk.json(&["--history"]);
        assert_eq!(report.counted().len(), 1, "{:?}", report.lines);
        assert_eq!(report.summary["findings"], 1);
        assert_eq!(report.summary["not_listed"], 0);
        assert_eq!(report.summary["files"], 1);
    }
    let report = desk.json(&["--range", "HEAD~4..HEAD"]);
    assert_eq!(report.counted().len(), 4, "each place: {:?}", report.lines);
}

/// However many copies stand at paths that mean nothing to a rule: one stands where it does.
#[test]
fn one_of_many_paths_matters() {
    let desk = Desk::repository();
    let word = &planted(2)[8..24];
    let text = format!("machine git.corp.example login deploy password {word}\n");
    for copy in 0..20 {
        desk.write(format!("a{copy}/notes"), &text);
    }
    desk.write("z/.netrc", &text);
    desk.commit("Copies");
    for packed in [false, true] {
        if packed {
            desk.git(&["repack", "-adq"]);
        }
        let report = desk.json(&["--history"]);
        assert_eq!(report.counted(), ["z/.netrc:1:48"]);
    }
    // However a path was typed.
    desk.scan(&["z//.netrc"]).fails(&["netrc-password"]);
    desk.scan(&["z/.//.netrc"]).fails(&["netrc-password"]);
}

/// What is ignored at one path says nothing of another with the same content.
#[test]
fn one_of_two_paths_is_ignored() {
    let desk = Desk::repository();
    desk.write("vendor/a", format!("{}\n", planted(3)));
    let first = desk.commit("One");
    desk.write("b", format!("{}\n", planted(3)));
    desk.commit("Other");
    for list in ["vendor/a:github-pat:1\n", "b:github-pat:1\n"] {
        desk.write("../list", list);
        let left = if list.starts_with('b') {
            "vendor/a:1:1"
        } else {
            "b:1:1"
        };
        for way in [
            ["--history"].as_slice(),
            &["--range", &format!("{}..HEAD", "0".repeat(40))],
        ] {
            let report = desk.json(&[way, &["--ignore-file", "../list"]].concat());
            assert_eq!(report.counted(), [left], "{way:?}");
        }
    }
    // One commit may be seen; what another brings in once more is not.
    desk.git(&["rm", "-q", "vendor/a", "b"]);
    desk.commit("Gone");
    desk.write("vendor/a", format!("{}\n", planted(3)));
    desk.commit("Back");
    desk.write(
        "../list",
        format!("{first}:vendor/a:github-pat:1\nb:github-pat:1\n"),
    );
    let report = desk.json(&["--history", "--ignore-file", "../list"]);
    assert_eq!(report.counted(), ["vendor/a:1:1"]);
}

/// Base64, in lines of this length.
fn encoded(text: &str, length: usize) -> String {
    let text = STANDARD.encode(format!(
        "GITHUB_TOKEN={text} # of nobody in particular, for a test"
    ));
    let lines: Vec<&[u8]> = text.as_bytes().chunks(length).collect();
    String::from_utf8(lines.join(&b'\n')).unwrap() + "\n"
}
