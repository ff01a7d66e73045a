//! What cannot be searched for secrets is told, and policy decides.

use std::io::Read as _;

use flate2::Compression;
use flate2::read::GzEncoder;
use refwarden_testkit::{Repository, Stack, Via};

use crate::shared::{approve, request_of, secret, stack};

const POLICY: &str = r#"
version = 1

[[rule]]
id = "nobody-can-tell"
refs = ["refs/heads/strict"]
secrets = { rules = ["unread-*"], modes = ["evaluate"] }
effect = "deny"

[[rule]]
id = "somebody-looks"
refs = ["refs/heads/looked-at"]
secrets = { rules = ["unread-*"], modes = ["evaluate"] }
effect = "require_approval"
approvers = ["group:maintainers"]
"#;

/// The magic number of 7z.
const SEVEN_ZIP: &[u8] = b"7z\xbc\xaf\x27\x1c\0\x04";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    GzEncoder::new(bytes, Compression::best())
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

/// Text that does not pack well.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b' ' + u8::try_from(state % 90).unwrap_or(0)
    };
    let line = |(index, byte): (usize, u8)| if index % 80 == 79 { b'\n' } else { byte };
    let bytes = std::iter::repeat_with(&mut next);
    bytes.take(length).enumerate().map(line).collect()
}

#[test]
fn is_told_and_passes_unless_it_is_made_to_exhaust() {
    let repository = Repository::guarded(stack(), "unread");
    let work = repository.work();
    let topic = &["HEAD:refs/heads/topic"];
    let packed = gzip(&noise(10_000));
    work.commit(
        &[
            (b"a.7z", SEVEN_ZIP),
            (b"broken.gz", &packed[..packed.len() - 9]),
        ],
        "Unread",
    );
    work.push(Via::Local, topic).passes();
    let bomb = gzip(&vec![0; 64 << 20]);
    work.commit(&[(b"bomb.gz", &bomb)], "Bomb");
    work.push(Via::Local, topic)
        .fails(&["RW302", "bomb.gz", "unread-bomb", "far too much"]);
}

#[test]
fn may_be_denied_or_approved() {
    let mut stack = Stack::start();
    std::fs::write(stack.directory().join("policy.toml"), POLICY).unwrap();
    stack.restart();
    let repository = Repository::guarded(&stack, "unread-policy");
    let work = repository.work();
    work.commit(&[(b"a.7z", SEVEN_ZIP)], "Unread");
    work.push(Via::Local, &["HEAD:refs/heads/strict"])
        .fails(&["RW302", "nobody-can-tell", "a.7z"]);
    let looked_at = &["HEAD:refs/heads/looked-at"];
    let asked = work.push(Via::Local, looked_at);
    approve(&stack, &request_of(&asked));
    work.push(Via::Local, looked_at).passes();
}

/// A container that is read piece by piece, because it is too large to be held.
#[test]
fn a_large_container_is_looked_into_as_it_comes() {
    let repository = Repository::guarded(stack(), "unread-large");
    let work = repository.work();
    let secret = secret(31);
    let mut text = noise(8 << 20);
    text.extend_from_slice(format!("\nT={secret}\n").as_bytes());
    let packed = gzip(&text);
    assert!(packed.len() > 5 << 20, "{}", packed.len());
    work.commit(&[(b"large.log.gz", &packed)], "Large");
    let refused = work.push(Via::Local, &["HEAD:refs/heads/topic"]).fails(&[
        "RW301",
        "github-pat",
        "large.log.gz",
        "(gzip)",
    ]);
    assert!(!refused.said().contains(&secret));
}
