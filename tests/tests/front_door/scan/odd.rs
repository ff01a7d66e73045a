//! Paths that are no text, and other things that git allows.

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
