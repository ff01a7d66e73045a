//! Content that is made to exhaust who searches it: little memory, an end, and plain words.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzEncoder;
use refwarden_testkit::{Outcome, Repository, Via, Work, program, run};

use crate::shared::{secret, stack};

/// The same command, which may write to so many bytes of memory and no more (`setrlimit(2)`,
/// `RLIMIT_DATA`), and whatever it starts, each for itself.
fn in_little_memory(command: &Command, bytes: u64) -> Command {
    let mut limited = Command::new("prlimit");
    limited.env_clear();
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited
        .arg(format!("--data={bytes}"))
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

/// Pushes to an unprotected branch over a local path, so that the hooks inherit the limit.
#[track_caller]
fn push(work: &Work<'_>) -> Outcome {
    let token = stack().token("ada");
    let command = work.push_command(&token, Via::Local, &["HEAD:refs/heads/topic"]);
    run(in_little_memory(&command, 192 << 20), b"")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    GzEncoder::new(bytes, Compression::best())
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

#[test]
fn ten_gibibytes_from_less_than_one_mebibyte() {
    let repository = Repository::guarded(stack(), "exhausting-bomb");
    let work = repository.work();
    let bomb = gzip(&gzip(&vec![0; 64 << 20]).repeat(160));
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    work.commit(&[(b"bomb.gz", &bomb)], "Bomb");
    push(&work).fails(&["RW302", "bomb.gz", "unread-bomb", "far too much"]);
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn fifty_containers_inside_each_other() {
    let repository = Repository::guarded(stack(), "exhausting-nested");
    let work = repository.work();
    let mut nested = format!("T={}\n", secret(41)).into_bytes();
    for _ in 0..50 {
        nested = gzip(&nested);
    }
    work.commit(&[(b"nested.gz", &nested)], "Nested");
    push(&work).fails(&["RW302", "nested.gz", "unread-depth"]);
    assert_eq!(repository.value("refs/heads/topic"), None);
}

/// Encoded as deep as is looked into, the secret is found; what is deeper ends in time.
#[test]
fn base64_in_base64() {
    let repository = Repository::guarded(stack(), "exhausting-base64");
    let work = repository.work();
    let mut text = secret(42);
    for _ in 0..3 {
        text = STANDARD.encode(text);
    }
    work.commit(&[(b"three", text.as_bytes())], "Three");
    push(&work).fails(&["RW301", "three:1", "(base64, base64, base64)"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    let mut text = "all work and no play ".repeat(2000);
    while text.len() < 32 << 20 {
        text = STANDARD.encode(text);
    }
    work.commit(&[(b"deep", text.as_bytes())], "Deep");
    push(&work).passes();
}

/// A zip whose list of members is cut off, and one with bytes that are not what deflate makes.
/// What can be read is searched, the rest is told and left to policy.
#[test]
fn a_damaged_zip() {
    let repository = Repository::guarded(stack(), "exhausting-zip");
    let work = repository.work();
    let text = format!("T={}\n", secret(43));
    let whole = zip(&[("a.env", text.as_bytes()), ("b.txt", &[b'b'; 5000])]);
    let cut = &whole[..whole.len() - 30];
    work.commit(&[(b"cut.zip", cut)], "Cut");
    push(&work).fails(&["RW301", "cut.zip!a.env:1"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    let mut torn = zip(&[("b.txt", &gzip(&whole).repeat(3))]);
    torn[60..90].fill(0xff);
    let new = work.commit(&[(b"torn.zip", &torn)], "Torn");
    push(&work).passes();
    assert_eq!(repository.value("refs/heads/topic"), Some(new));
    let audit = [
        "audit",
        "--repository",
        &repository.name,
        "-q",
        "rule:unread-damaged",
    ];
    stack().refwarden(&audit).passes().says(&["push.released"]);
}

/// A zip of members that are deflated (APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16).
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut list) = (Vec::new(), Vec::new());
    let count = u16::try_from(members.len()).unwrap();
    for (name, content) in members {
        let mut packed = Vec::new();
        flate2::read::DeflateEncoder::new(*content, Compression::best())
            .read_to_end(&mut packed)
            .unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut common = [20u16, 0, 8, 0, 0].map(u16::to_le_bytes).concat();
        common.extend(crc.sum().to_le_bytes());
        for length in [packed.len(), content.len()] {
            common.extend(u32::try_from(length).unwrap().to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0; 2]);
        let offset = u32::try_from(file.len()).unwrap();
        list.extend(b"PK\x01\x02\x14\0");
        list.extend(&common);
        list.extend([0; 10]);
        list.extend(offset.to_le_bytes());
        list.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(common);
        file.extend(name.as_bytes());
        file.extend(packed);
    }
    let (start, length) = (file.len(), list.len());
    file.extend(list);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count; 2].map(u16::to_le_bytes).concat());
    for number in [length, start] {
        file.extend(u32::try_from(number).unwrap().to_le_bytes());
    }
    file.extend([0; 2]);
    file
}

/// One line of 4 GiB, most of it a hole in the file, with a secret at its end.
#[test]
fn a_line_of_four_gibibytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("long");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"begins").unwrap();
    file.seek(SeekFrom::Start(4 << 30)).unwrap();
    let secret = secret(44);
    file.write_all(format!(" T={secret}\n").as_bytes()).unwrap();
    drop(file);
    let mut command = Command::new(program("refwarden"));
    command.args(["scan", "--jobs", "1"]).arg(&path);
    let said = run(in_little_memory(&command, 96 << 20), b"");
    assert_eq!(said.code, Some(1), "{said}");
    let place = format!("long:1:{}: github-pat", (4u64 << 30) + 4);
    let said = said.says(&[&place, "1 finding"]);
    assert!(!said.everything().contains(&secret));
}
