//! Secrets, in every place of a push, are refused and told to nobody.

use std::io::Write as _;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use refwarden_testkit::{Objects, Outcome, RawPush, Repository, Via, planted};

use crate::shared::{approve, dump, request_of, secret, stack};

/// Refused as a secret, and not echoed.
#[track_caller]
fn found(outcome: Outcome, secret: &str) -> Outcome {
    let outcome = outcome.fails(&["RW301", "github-pat"]);
    let said = outcome.said();
    let remote: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("remote:"))
        .collect();
    let echoed = remote.iter().any(|line| line.contains(secret));
    assert!(!echoed, "the secret is echoed: {remote:#?}");
    outcome
}

#[test]
fn added_and_removed_inside_one_push() {
    let repository = Repository::guarded(stack(), "secret-removed");
    let work = repository.work();
    let secret = secret(1);
    work.commit(
        &[(b"config/prod.env", format!("\n\nT={secret}\n").as_bytes())],
        "Add",
    );
    let culprit = work.git(&["rev-parse", "--short=7", "HEAD"]);
    work.git(&["rm", "-q", "config/prod.env"]);
    work.commit(&[(b"other", b"x\n")], "Remove");
    let refused = found(work.push(Via::Http, &["HEAD:refs/heads/topic"]), &secret);
    refused.says(&["config/prod.env:3", &culprit]);
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn only_in_a_merge() {
    let repository = Repository::guarded(stack(), "secret-merge");
    let work = repository.work();
    let secret = secret(2);
    let base = work.git(&["rev-parse", "HEAD"]);
    let side = work.commit(&[(b"side", b"s\n")], "Side");
    work.git(&["checkout", "-q", "--detach", &base]);
    work.commit(&[(b"main", b"m\n")], "Main");
    work.git(&["merge", "-q", "--no-commit", "--no-ff", &side]);
    std::fs::write(work.path().join("evil"), format!("{secret}\n")).unwrap();
    work.git(&["add", "-A"]);
    work.git(&["commit", "-q", "-m", "Merge"]);
    found(work.push(Via::Local, &["HEAD:refs/heads/topic"]), &secret).says(&["evil:1"]);
}

#[test]
fn in_messages_of_commits_and_tags() {
    let repository = Repository::guarded(stack(), "secret-message");
    let work = repository.work();
    let secret = secret(3);
    work.git(&["tag", "-a", "-m", &format!("Use {secret}"), "v1"]);
    found(work.push(Via::Local, &["refs/tags/v1"]), &secret);
    work.commit(&[(b"a", b"a\n")], &format!("Use {secret}"));
    found(work.push(Via::Local, &["HEAD:refs/heads/topic"]), &secret);
}

#[test]
fn in_a_blob_that_a_tag_names() {
    let repository = Repository::guarded(stack(), "secret-tag");
    let work = repository.work();
    let secret = secret(4);
    std::fs::write(work.path().join("t"), &secret).unwrap();
    let blob = work.git(&["hash-object", "-w", "t"]);
    found(
        work.push(Via::Local, &[&format!("{blob}:refs/tags/light")]),
        &secret,
    );
    work.git(&["tag", "-a", "-m", "Blob", "heavy", &blob]);
    found(work.push(Via::Local, &["refs/tags/heavy"]), &secret);
}

#[test]
fn in_notes_links_and_beside_submodules() {
    let repository = Repository::guarded(stack(), "secret-odd");
    let work = repository.work();
    let secret = secret(11);
    work.git(&["notes", "add", "-m", &secret, "HEAD"]);
    let notes = work.push(Via::Http, &["refs/notes/commits"]);
    found(notes, &secret);
    assert_eq!(repository.value("refs/notes/commits"), None);
    // A link's target is its content.
    std::os::unix::fs::symlink(&secret, work.path().join("link")).unwrap();
    work.git(&["add", "-A"]);
    work.git(&["commit", "-q", "-m", "Link"]);
    found(work.push(Via::Local, &["HEAD:refs/heads/topic"]), &secret).says(&["link"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    // A link to a commit elsewhere brings no content; its URL is that of a file, which is scanned.
    let elsewhere = format!("160000,{},part", "1".repeat(40));
    work.git(&["update-index", "--add", "--cacheinfo", &elsewhere]);
    let modules = format!("[submodule \"part\"]\n\tpath = part\n\turl = https://x:{secret}@h/p\n");
    std::fs::write(work.path().join(".gitmodules"), &modules).unwrap();
    work.git(&["add", ".gitmodules"]);
    work.git(&["commit", "-q", "-m", "Part"]);
    let part = work.push(Via::Local, &["HEAD:refs/heads/topic"]);
    found(part, &secret).says(&[".gitmodules:3"]);
    let clean = modules.replace(&format!("x:{secret}@"), "");
    std::fs::write(work.path().join(".gitmodules"), clean).unwrap();
    work.git(&["add", ".gitmodules"]);
    work.git(&["commit", "-q", "--amend", "-m", "Part"]);
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
}

#[test]
fn behind_a_replacement() {
    let repository = Repository::guarded(stack(), "secret-replaced");
    let work = repository.work();
    let secret = secret(12);
    work.commit(&[(b"a", format!("{secret}\n").as_bytes())], "Add");
    let bad = work.git(&["rev-parse", "HEAD:a"]);
    std::fs::write(work.path().join("b"), "nothing\n").unwrap();
    let good = work.git(&["hash-object", "-w", "b"]);
    // The server has the clean content and a replacement that would show it in place of the other.
    let hash = ["hash-object", "-w", "--stdin"];
    let made = stack().git().feed(&repository.path, &hash, b"nothing\n");
    assert_eq!(made.passes().text(), good);
    std::fs::create_dir_all(repository.path.join("refs/replace")).unwrap();
    let replace = repository.path.join(format!("refs/replace/{bad}"));
    std::fs::write(replace, format!("{good}\n")).unwrap();
    found(work.push(Via::Local, &["HEAD:refs/heads/topic"]), &secret).says(&["a:1"]);
}

#[test]
fn a_million_in_one_file() {
    let repository = Repository::guarded(stack(), "secret-million");
    let work = repository.work();
    let secret = secret(13);
    let file = format!("{secret}\n").repeat(1_000_000);
    work.commit(&[(b"many", file.as_bytes())], "Many");
    let refused = work.push(Via::Local, &["HEAD:refs/heads/topic"]);
    // Not all are known one by one, so that paths, too, are not told.
    let many = "RW302 999000 more findings than can be judged";
    let refused = found(refused, &secret).says(&["[left out: too many secrets]:1", many]);
    assert!(refused.said().len() < 10_000, "{refused}");
    assert_eq!(repository.value("refs/heads/topic"), None);
    // Nothing was left behind that the next push would stumble on.
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    work.commit(&[(b"fine", b"x\n")], "Fine");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
}

#[test]
fn in_names() {
    let repository = Repository::guarded(stack(), "secret-name");
    let work = repository.work();
    let secret = secret(5);
    let name = format!("HEAD:refs/heads/{secret}");
    work.push(Via::Local, &[&name]).fails(&["RW301"]);
    assert_eq!(repository.value(&format!("refs/heads/{secret}")), None);
    work.commit(&[(format!("{secret}.txt").as_bytes(), b"x\n")], "Name");
    found(work.push(Via::Local, &["HEAD:refs/heads/topic"]), &secret);
    let option = format!("--push-option=reason={secret}");
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    work.push(Via::Local, &[&option, "HEAD:refs/heads/topic"])
        .fails(&["RW301"]);
}

#[test]
fn smuggled_unreachable_and_referred_to_later() {
    let repository = Repository::guarded(stack(), "secret-smuggled");
    let objects = Objects::beside(stack().git(), &repository.path, "sha1");
    let secret = secret(6);
    let old = repository.value("refs/heads/main").unwrap();
    let git = || stack().git().with("REFWARDEN_TOKEN", &stack().token("ada"));

    // A pack that holds a blob which nothing refers to.
    let loot = objects.blob(format!("{secret}\n").as_bytes());
    let innocent = objects.blob(b"nothing\n");
    let tree = objects.tree(&[(b"file", &innocent)]);
    let commit = objects.commit(&tree, &[&old], b"Innocent");
    let pack = objects.pack(&[&commit, &tree, &innocent, &loot]);
    let push = RawPush::one(&repository.zero(), &commit, b"refs/heads/topic", pack);
    let report = push.send_local(&git(), &repository.path);
    report.refuses(&["RW301"]);
    assert!(!report.messages.contains(&secret), "{report:#?}");

    // A blob that the repository holds already, unreachable, and a push that refers to it
    // without bringing it.
    let held = stack().git().feed(
        &repository.path,
        &["hash-object", "-w", "--stdin"],
        format!("{secret}\n").as_bytes(),
    );
    assert_eq!(held.passes().text(), loot);
    let tree = objects.tree(&[(b"loot", &loot)]);
    let commit = objects.commit(&tree, &[&old], b"Refer");
    let pack = objects.pack(&[&commit, &tree]);
    let push = RawPush::one(&repository.zero(), &commit, b"refs/heads/later", pack);
    let report = push.send_local(&git(), &repository.path);
    report.refuses(&["RW301", "loot"]);
    assert_eq!(repository.value("refs/heads/later"), None);
}

#[test]
fn in_a_thin_pack_and_in_a_delta() {
    let repository = Repository::unguarded(stack(), "secret-thin", "sha1");
    let work = repository.work();
    let long: Vec<_> = (0..2000).map(|line| format!("line {line}\n")).collect();
    let long = long.concat();
    let old = work.commit(&[(b"long", long.as_bytes())], "Long");
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    let secret = secret(7);
    let new = work.commit(
        &[(b"long", format!("{long}{secret}\n").as_bytes())],
        "Delta",
    );
    let path = work.path().join(".git");
    let objects = Objects::beside(stack().git(), &path, "sha1");
    let pack = objects.thin_pack(&new, &old);
    assert!(
        pack.len() < 4096,
        "the pack is not thin: {} bytes",
        pack.len()
    );
    let push = RawPush::one(&repository.zero(), &new, b"refs/heads/topic", pack);
    let report = push.send_http(&repository.http_url(), &stack().token("ada"));
    report.refuses(&["RW301", "long:2001"]);
}

/// Git may send a file as what differs from one that the repository has, secret and all.
#[test]
fn in_the_base_of_a_thin_pack() {
    let repository = Repository::unguarded(stack(), "secret-base", "sha1");
    let work = repository.work();
    let secret = secret(14);
    let long: Vec<_> = (0..2000).map(|line| format!("line {line}\n")).collect();
    let long = long.concat() + &secret + "\n";
    let old = work.commit(&[(b"long", long.as_bytes())], "Long");
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    // In the same file it is no news, in another it is.
    for (name, passes) in [(&b"long"[..], true), (b"copy", false)] {
        work.git(&["reset", "-q", "--hard", &old]);
        let new = work.commit(&[(name, format!("{long}more\n").as_bytes())], "Delta");
        let name = String::from_utf8_lossy(name).into_owned();
        let base = work.git(&["rev-parse", &format!("{old}:long")]);
        let tree = work.git(&["rev-parse", &format!("{new}^{{tree}}")]);
        let path = work.path().join(".git");
        let whole = Objects::beside(stack().git(), &path, "sha1").pack(&[&new, &tree]);
        let pack = with_delta(&whole, &base, long.len(), b"more\n");
        assert!(pack.len() < 4096, "{} bytes", pack.len());
        let push = RawPush::one(&repository.zero(), &new, b"refs/heads/topic", pack);
        let report = push.send_http(&repository.http_url(), &stack().token("ada"));
        if passes {
            assert_eq!(repository.value("refs/heads/topic"), Some(new));
            work.push(Via::Local, &[":refs/heads/topic"]).passes();
        } else {
            report.refuses(&["RW301", &format!("{name}:2001")]);
        }
    }
}

/// A pack with one object more: a base that it does not hold, and an end (gitformat-pack(5)).
fn with_delta(pack: &[u8], base: &str, length: usize, end: &[u8]) -> Vec<u8> {
    let size = |mut number: usize| {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap());
        bytes
    };
    let mut delta = [size(length), size(length + end.len())].concat();
    // Copy so many bytes from the beginning, then take what follows.
    delta.push(0b1111_0000);
    delta.extend(&u32::try_from(length).unwrap().to_le_bytes()[..3]);
    delta.push(u8::try_from(end.len()).unwrap());
    delta.extend(end);
    let (header, rest) = pack.split_at(12);
    let (objects, _) = rest.split_at(rest.len() - 20);
    let count = u32::from_be_bytes(header[8..].try_into().unwrap()) + 1;
    let mut made = [&header[..8], &count.to_be_bytes(), objects].concat();
    // The type, 7, stands between the last four bits of the size and the rest.
    let first = 7 << 4 | u8::try_from(delta.len() & 15).unwrap();
    match delta.len() >> 4 {
        0 => made.push(first),
        rest => made.extend([&[first | 0x80], &size(rest)[..]].concat()),
    }
    made.extend(hex::decode(base).unwrap());
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&delta).unwrap();
    made.extend(packed.finish().unwrap());
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &made);
    made.extend(sum.as_ref());
    made
}

/// However many copies stand at paths that mean nothing to the rule: one stands where it does.
#[test]
fn at_one_of_many_paths() {
    let repository = Repository::guarded(stack(), "secret-copies");
    let work = repository.work();
    let password = &secret(15)[8..24];
    let text = format!("machine git.corp.example login deploy password {password}\n");
    for packed in [false, true] {
        let content = if packed {
            gzip(text.as_bytes())
        } else {
            text.clone().into_bytes()
        };
        let end = if packed { ".gz" } else { "" };
        let notes: Vec<Vec<u8>> = (0..20)
            .map(|copy| format!("a{copy}/notes{end}").into_bytes())
            .collect();
        let mut files: Vec<(&[u8], &[u8])> =
            notes.iter().map(|path| (&path[..], &content[..])).collect();
        work.commit(&files, "Notes");
        work.push(Via::Local, &["-f", "HEAD:refs/heads/notes"])
            .passes();
        work.git(&["reset", "-q", "--hard", "HEAD^"]);
        let path = format!("z/.netrc{end}");
        files.push((path.as_bytes(), &content));
        work.commit(&files, "One more");
        let refused = work.push(Via::Local, &["HEAD:refs/heads/topic"]);
        let refused = refused.fails(&["RW301", "netrc-password", &path]);
        assert!(!refused.said().contains(password), "{refused}");
        work.git(&["reset", "-q", "--hard", "HEAD^"]);
    }
}

#[test]
fn what_stood_in_the_repository_before_does_not_block() {
    let repository = Repository::unguarded(stack(), "secret-before", "sha1");
    let work = repository.work();
    let secret = secret(8);
    work.commit(
        &[(b"old.env", format!("{secret}\n").as_bytes())],
        "Long ago",
    );
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    work.commit(&[(b"new", b"x\n")], "Now");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    let other = crate::shared::secret(9);
    work.commit(&[(b"more", format!("{other}\n").as_bytes())], "More");
    found(work.push(Via::Local, &["HEAD:refs/heads/topic"]), &other);
}

/// It is recorded with the push, marked and counted as what it is, and the pusher is told.
#[test]
fn what_stood_in_the_same_file_before_is_told_and_counted() {
    let repository = Repository::unguarded(stack(), "secret-standing", "sha1");
    let work = repository.work();
    let line = format!("T={}\n", secret(14));
    work.commit(&[(b"old.env", line.as_bytes())], "Long ago");
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    work.commit(&[(b"old.env", format!("{line}more\n").as_bytes())], "Edit");
    let pushed = work.push(Via::Http, &["HEAD:refs/heads/topic"]).passes();
    let pushed = pushed.says(&["secrets that stood there before do not stop this push: 1"]);
    let said = pushed.said();
    let (_, push) = said.split_once("recorded as push ").unwrap();
    let push = push.split_whitespace().next().unwrap();
    let session = ["replay", "--push", push, "--json"];
    let session = stack().refwarden(&session).passes().text();
    assert_eq!(
        session.matches("known to the repository").count(),
        1,
        "{session}"
    );
    let url = format!("{}/p/{push}", stack().started().service_url);
    let page = stack().browser("audrey").open(&url);
    assert!(page.body.contains("stood there before"), "{}", page.body);
}

#[test]
fn behind_encodings() {
    let repository = Repository::guarded(stack(), "secret-encoded");
    let work = repository.work();
    let secret = secret(11);
    let wide: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (way, bytes) in [
        (
            "base64",
            STANDARD.encode(format!("T={secret}\n")).into_bytes(),
        ),
        ("hex", hex::encode(&secret).into_bytes()),
        ("utf-16le", wide),
        (
            "base64, hex",
            STANDARD.encode(hex::encode(&secret)).into_bytes(),
        ),
    ] {
        work.commit(&[(b"notes", &bytes)], "Encoded");
        let refused = found(work.push(Via::Local, &["HEAD:refs/heads/topic"]), &secret);
        refused.says(&["notes:1", &format!("({way})")]);
        work.git(&["reset", "-q", "--hard", "HEAD^"]);
    }
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn in_compressed_files() {
    let repository = Repository::guarded(stack(), "secret-packed");
    let work = repository.work();
    let secret = secret(12);
    let text = format!("\nT={secret}\n{}", "# filler\n".repeat(500));
    let packed = gzip(text.as_bytes());
    work.commit(&[(b"old.env.gz", &packed)], "Packed");
    let refused = found(work.push(Via::Http, &["HEAD:refs/heads/topic"]), &secret);
    refused.says(&["old.env.gz:2", "(gzip)"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    work.commit(&[(b"fine.gz", &gzip(b"nothing"))], "Fine");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::best());
    let mut packed = Vec::new();
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    packed
}

#[test]
fn no_record_and_no_log_holds_a_secret() {
    let repository = Repository::guarded(stack(), "secret-records");
    let work = repository.work();
    let secret = secret(10);
    let line = format!("T={secret}\n");
    work.commit(
        &[
            (b"plain.env", line.as_bytes()),
            (format!("{secret}.txt").as_bytes(), b"x\n"),
            (
                b"binary",
                [&b"\0\xff"[..], line.as_bytes()].concat().as_slice(),
            ),
        ],
        &format!("Message with {secret}"),
    );
    work.git(&["tag", "-a", "-m", &secret, "v1"]);
    for via in [Via::Local, Via::Http] {
        found(
            work.push(via, &["HEAD:refs/heads/topic", "refs/tags/v1"]),
            &secret,
        );
        found(work.push(via, &["HEAD:refs/heads/main"]), &secret);
        work.push(via, &[&format!("HEAD:refs/heads/{secret}")])
            .fails(&["RW301"]);
        let option = format!("--push-option=reason={secret}");
        work.push(via, &[&option, "HEAD:refs/heads/topic"])
            .fails(&["RW301"]);
    }
    let events = stack()
        .api("audrey")
        .get("/events?repository=secret-records")
        .text()
        .unwrap();
    let dump = dump(&stack().started().database_url);
    assert!(
        dump.contains("secret-records"),
        "the dump is not what it should be"
    );
    let logs = stack().logs();
    assert!(
        logs.contains("admitted"),
        "the logs are not what they should be"
    );
    for form in planted::forms(&secret) {
        for (place, text) in [("database", &dump), ("logs", &logs), ("events", &events)] {
            if let Some(at) = text.find(&form) {
                let begin = text[..at].rfind('\n').map_or(0, |it| it + 1);
                let line: String = text[begin..].chars().take(300).collect();
                panic!("the {place} hold the secret: {line}");
            }
        }
    }
}

#[test]
fn an_approver_sees_findings_without_the_secret() {
    let repository = Repository::guarded(stack(), "secret-page");
    let work = repository.work();
    work.commit(&[(b"fine", b"x\n")], "Fine");
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    let request = request_of(&refused);
    let url = format!("{}/r/{request}", stack().started().service_url);
    let page = stack().browser("grace").open(&url);
    for word in [
        "secret-page",
        "refs/heads/main",
        "fine",
        "<strong>ada</strong>",
    ] {
        assert!(page.body.contains(word), "{word}: {}", page.body);
    }
    approve(stack(), &request);
}
