//! Repositories to measure on, made from a seed.

use std::fmt::Write as _;

use refwarden_testkit::{Git, Repository};

/// Bytes that do not compress (splitmix64).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
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

/// Fills `main` with a history of text: `commits`, each of which changes three of 300 files.
pub fn history(git: &Git, repository: &Repository<'_>, commits: usize) {
    let mut stream = Vec::new();
    for commit in 0..commits {
        let mut text = format!(
            "commit refs/heads/main\ncommitter A <a@b> {} +0000\n",
            1_700_000_000 + commit
        );
        write!(text, "data 9\nCommit x\n").unwrap();
        for file in 0..3 {
            let path = (commit * 3 + file) % 300;
            let mut content = String::new();
            for line in 0..100 {
                // Every version of a file differs from the last in a few lines.
                let version = if line % 17 == commit % 17 { commit } else { 0 };
                writeln!(
                    content,
                    "let value_{path}_{line} = compute({version}, {});",
                    line * 31
                )
                .unwrap();
            }
            writeln!(text, "M 100644 inline dir{}/file{path}.rs", path % 20).unwrap();
            write!(text, "data {}\n{content}\n", content.len()).unwrap();
        }
        stream.extend_from_slice(text.as_bytes());
        stream.push(b'\n');
    }
    git.feed(
        &repository.path,
        &["fast-import", "--quiet", "--force"],
        &stream,
    )
    .passes();
    git.run(&repository.path, &["repack", "-adq"]).passes();
}

/// Fills `main` with blobs that do not compress.
pub fn bulk(git: &Git, repository: &Repository<'_>, megabytes: usize) {
    let mut stream =
        b"commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 5\nBulk\n".to_vec();
    for index in 0..megabytes / 4 {
        let blob = noise(index as u64, 4 << 20);
        stream.extend_from_slice(
            format!("M 100644 inline bulk{index}\ndata {}\n", blob.len()).as_bytes(),
        );
        stream.extend_from_slice(&blob);
        stream.push(b'\n');
    }
    let import = [
        "-c",
        "core.compression=0",
        "fast-import",
        "--quiet",
        "--force",
    ];
    git.feed(&repository.path, &import, &stream).passes();
    // One pack, and no search for deltas where there are none, neither now nor for a clone.
    for (name, value) in [("pack.window", "0"), ("core.compression", "0")] {
        git.run(&repository.path, &["config", name, value]).passes();
    }
    git.run(&repository.path, &["repack", "-adq"]).passes();
}
