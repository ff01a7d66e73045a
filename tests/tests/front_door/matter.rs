//! Content that is large, odd, or of another hash function.

use std::fmt::Write as _;
use std::time::Duration;

use refwarden_testkit::{Objects, RawPush, Repository, Via};

use crate::shared::{approve, count, replay, request_of, secret, stack};

/// Bytes that do not compress, from a seed (splitmix64).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The most memory that a process has had, in bytes (proc(5), `VmHWM`).
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes << 10
}

#[test]
fn a_large_blob_passes_both_ways_in_little_memory() {
    let repository = Repository::guarded(stack(), "large");
    let work = repository.work();
    let large = noise(1, 100 << 20);
    let new = work.commit(&[(b"large", &large)], "Large");
    let pushed = work.push(Via::Http, &["HEAD:refs/heads/topic"]).passes();
    assert!(pushed.took < Duration::from_mins(1), "{pushed}");
    assert_eq!(repository.value("refs/heads/topic"), Some(new));
    let git = refwarden_testkit::with_token(stack().git(), &stack().token("ada"), Via::Http);
    let into = tempfile::tempdir().unwrap();
    let clone = ["clone", "-q", "-b", "topic", &repository.http_url(), "."];
    git.run(into.path(), &clone).passes();
    assert!(
        std::fs::read(into.path().join("large")).unwrap() == large,
        "it came back changed"
    );
    for part in ["proxy", "service"] {
        let peak = peak(stack().pid(part));
        assert!(peak < 96 << 20, "{part} had {} MiB", peak >> 20);
    }
    replay(&repository).passes();

    // A secret at the end of a large file is found.
    let mut planted = noise(2, 20 << 20);
    planted.extend_from_slice(format!("\n{}\n", secret(20)).as_bytes());
    work.commit(&[(b"planted", &planted)], "Planted");
    work.push(Via::Http, &["HEAD:refs/heads/topic"])
        .fails(&["RW301", "planted"]);
}

#[test]
fn a_sha_256_repository_works_or_is_refused_in_plain_words() {
    let repository = Repository::unguarded(stack(), "sha256", "sha256");
    let installed = repository.install();
    if !installed.ok() {
        installed.says(&["sha256"]);
        return;
    }
    let work = repository.work();
    let new = work.commit(&[(b"a", b"a\n")], "A");
    for via in [Via::Local, Via::Http] {
        let refused = work.push(via, &["HEAD:refs/heads/main"]).fails(&["RW201"]);
        assert_eq!(request_of(&refused).len(), 8);
    }
    let refused = work
        .push(Via::Http, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    approve(stack(), &request_of(&refused));
    work.push(Via::Http, &["HEAD:refs/heads/main"]).passes();
    assert_eq!(repository.value("refs/heads/main"), Some(new));
    work.push(Via::Local, &[":refs/heads/main"])
        .fails(&["RW203"]);
    replay(&repository).passes();
}

#[test]
fn names_that_are_not_utf_8_are_kept() {
    let repository = Repository::guarded(stack(), "bytes");
    let objects = Objects::beside(stack().git(), &repository.path, "sha1");
    let old = repository.value("refs/heads/main").unwrap();
    let blob = objects.blob(b"caf\xe9\n");
    let tree = objects.tree(&[(b"caf\xe9 \x01\x7f", &blob), (b"\xff\xfe\"\\", &blob)]);
    let new = objects.commit(&tree, &[&old], b"caf\xe9 in Latin-1\n");
    let pack = objects.pack(&[&new, &tree, &blob]);
    let name = b"refs/heads/caf\xe9";
    let push = RawPush::one(&repository.zero(), &new, name, pack.clone());
    let report = push.send_http(&repository.http_url(), &stack().token("ada"));
    assert!(report.all_taken(), "{report:#?}");
    let refs = repository.refs();
    assert!(refs.windows(name.len()).any(|it| it == name));
    replay(&repository).passes();

    // The page of a request shows them, and the records keep them apart.
    let push = RawPush::one(&old, &new, b"refs/heads/main", pack);
    let report = push.send_http(&repository.http_url(), &stack().token("ada"));
    report.refuses(&["RW201"]);
    let said = crate::shared::for_programs(&report.messages);
    let request = said["request"].as_str().unwrap().to_owned();
    approve(stack(), &request);
    let report = push.send_http(&repository.http_url(), &stack().token("ada"));
    assert!(report.all_taken(), "{report:#?}");
    assert_eq!(count(&repository, "ref.committed", "refs/heads/main"), 1);
    replay(&repository).passes();
}

#[test]
fn many_refs_in_one_push() {
    let repository = Repository::guarded(stack(), "many");
    let work = repository.work();
    let head = work.git(&["rev-parse", "HEAD"]);
    let mut input = String::new();
    for index in 0..500 {
        writeln!(input, "create refs/heads/b/{index} {head}").unwrap();
    }
    work.git
        .feed(work.path(), &["update-ref", "--stdin"], input.as_bytes())
        .passes();
    work.push(Via::Http, &["--atomic", "refs/heads/b/*:refs/heads/b/*"])
        .passes();
    let listed = repository.git(&["for-each-ref", "refs/heads/b/"]).text();
    assert_eq!(listed.lines().count(), 500);
    replay(&repository).passes();
}
