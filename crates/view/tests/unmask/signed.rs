//! Tags, signatures, clones that lack objects, names in messages, and what is not of the view.

use refwarden_view::unmask::{Command, Problem, WITHHELD, told};

use super::desk::{Clone, Desk, Sent, secret};

const MAIN: &[&str] = &["HEAD:refs/heads/main"];

/// Signs by SSH, whose signatures are the same each time.
fn signing(clone: &Clone) {
    let key = clone.path.join(".git/key");
    let mut make = std::process::Command::new("ssh-keygen");
    let done = make
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "a@example.org", "-f"])
        .arg(&key);
    assert!(done.status().unwrap().success());
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let allowed = clone.path.join(".git/allowed");
    std::fs::write(&allowed, format!("a@example.org {public}")).unwrap();
    for (name, value) in [
        ("gpg.format", "ssh"),
        ("user.signingKey", key.to_str().unwrap()),
        ("gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()),
    ] {
        clone.git(&["config", name, value]);
    }
}

#[test]
fn a_signature_of_the_client_verifies_in_the_next_clone() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::new(format);
        let masked = desk.masked(&[]);
        signing(&masked);
        masked.edit("conf/app.env", |text| format!("S=1\n{text}"));
        masked.git(&["add", "-A"]);
        masked.git(&["commit", "-q", "-S", "-m", "Signed"]);
        masked.git(&["tag", "-s", "-m", "of a signed commit", "v2"]);
        masked.git(&["tag", "-s", "-m", "of a tag", "v3", "v2"]);
        masked.git(&["tag", "-s", "-m", "untouched", "v0", "origin/side"]);
        let sent = desk.send(&masked, &["HEAD:refs/heads/main", "v0", "v2", "v3"]);
        let translated = desk
            .translate(&sent)
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        desk.apply(&translated);
        desk.settles(&sent);
        let original = desk.at("original.git");
        let commit = original.git(&["cat-file", "-p", "main"]);
        assert!(
            commit.contains("\nrefwarden-gpgsig") && !commit.contains("\ngpgsig"),
            "{commit}"
        );
        assert!(
            original
                .git(&["show", "main:conf/app.env"])
                .contains(&secret(1))
        );
        // A tag of what no secret touches is the client's own.
        assert_eq!(
            original.git(&["rev-parse", "v0"]),
            masked.git(&["rev-parse", "v0"])
        );
        let fresh = desk.clone_of("shadow.git", "fresh", &[]);
        fresh.git(&[
            "config",
            "gpg.ssh.allowedSignersFile",
            masked.path.join(".git/allowed").to_str().unwrap(),
        ]);
        fresh.git(&["verify-commit", "origin/main"]);
        for tag in ["v0", "v2", "v3"] {
            fresh.git(&["verify-tag", tag]);
        }
    }
}

#[test]
fn a_merge_of_a_signed_tag_is_given_back() {
    let desk = Desk::new("sha1");
    let masked = desk.masked(&[]);
    signing(&masked);
    masked.git(&["checkout", "-q", "topic"]);
    masked.write("t", "t\n");
    masked.commit("T");
    masked.git(&["tag", "-s", "-m", "t", "signed"]);
    masked.git(&["checkout", "-q", "main"]);
    masked.git(&["merge", "-q", "--no-ff", "--no-edit", "signed"]);
    assert!(
        masked
            .git(&["cat-file", "-p", "HEAD"])
            .contains("mergetag object ")
    );
    let sent = desk.send(&masked, &["HEAD:refs/heads/main", "signed"]);
    let translated = desk
        .translate(&sent)
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    desk.apply(&translated);
    desk.settles(&sent);
    // Upon that, somebody who sees all goes on, and the view follows.
    let full = desk.clone_of("original.git", "full", &[]);
    full.commit("Next");
    full.git(&["push", "-q", "origin", "HEAD:main"]);
    desk.build("shadow.git");
    desk.tells_nothing();
    desk.accepts(|clone| clone.commit("And next"), MAIN);
}

#[test]
fn tags_are_translated_and_hold_no_placeholder() {
    let desk = Desk::new("sha1");
    desk.accepts(
        |clone| {
            clone.git(&["tag", "-a", "-m", "annotated", "t1", "origin/main~1"]);
            clone.git(&["tag", "-a", "-m", "of a tag", "t2", "t1"]);
            clone.git(&["tag", "light", "origin/main"]);
            clone.git(&["tag", "-a", "-m", "of a file", "t3", "origin/main:README"]);
            clone.git(&["tag", "-a", "-m", "of a directory", "t4", "origin/main:sub"]);
        },
        &["t1", "t2", "t3", "t4", "light"],
    );
    let tag = |message: &'static str, of: &'static str| {
        move |clone: &Clone| {
            let placeholder = clone.line("conf/app.env", "T=")[2..].to_owned();
            let message = message.replace("PLACEHOLDER", &placeholder);
            clone.git(&["tag", "-a", "-m", &message, "t", of]);
        }
    };
    desk.refuses(tag("see PLACEHOLDER", "HEAD"), &["t"], Problem::InMessage);
    desk.refuses(tag("m", "HEAD:conf/app.env"), &["t"], Problem::WithoutPath);
    desk.refuses(tag("m", "HEAD:conf"), &["t"], Problem::WithoutPath);
    desk.refuses(tag("m", "HEAD:dir"), &["t"], Problem::InName);
}

#[test]
fn clones_that_lack_objects_push() {
    let desk = Desk::new("sha1");
    for options in [
        &["--depth=1"][..],
        &["--filter=blob:none"],
        &["--filter=tree:0"],
        &["--single-branch"],
    ] {
        let masked = desk.masked(options);
        masked.edit("conf/app.env", |text| format!("# {options:?}\n{text}"));
        masked.commit("From a part");
        let sent = desk.send(&masked, MAIN);
        let translated = desk
            .translate(&sent)
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        desk.apply(&translated);
        desk.settles(&sent);
        assert!(
            desk.at("original.git")
                .git(&["show", "main:conf/app.env"])
                .contains(&secret(1))
        );
    }
}

#[test]
fn names_in_messages_are_the_originals() {
    let desk = Desk::new("sha1");
    desk.accepts(
        |clone| {
            let whole = clone.git(&["rev-parse", "origin/main~1"]);
            clone.commit(&format!("See {whole}, {} and 20240101", &whole[..12]));
        },
        MAIN,
    );
    // An original name that somebody has guessed is not treated otherwise than any other digits.
    let original = desk.at("original.git").git(&["rev-parse", "main~1"]);
    let masked = desk.masked(&[]);
    masked.commit(&format!("Is it {original} or {}?", &original[..9]));
    masked.git(&[
        "tag",
        "-a",
        "-m",
        &format!("Is it {original}?"),
        "guess",
        "origin/side",
    ]);
    let sent = desk.send(&masked, &["HEAD:refs/heads/main", "guess"]);
    let translated = desk
        .translate(&sent)
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    desk.apply(&translated);
    desk.build("shadow.git");
    for command in &sent.commands {
        let now = desk
            .at("shadow.git")
            .git(&["rev-parse", &command.name.lossy()]);
        assert_eq!(now, command.new.to_string());
    }
}

#[test]
fn what_is_not_of_the_view_is_refused() {
    let desk = Desk::new("sha1");
    let masked = desk.masked(&[]);
    let original = desk.at("original.git");
    let oid = |revision: &str| original.git(&["rev-parse", revision]);
    let at = |name: &str, old: &str, new: &str| Command {
        name: refwarden_model::RefName::parse(name.as_bytes()).unwrap(),
        old: old.parse().unwrap(),
        new: new.parse().unwrap(),
    };
    let zero = "0".repeat(40);
    let check = |command: Command, expected: Problem| {
        let sent = Sent {
            commands: vec![command],
            pack: None,
        };
        let refusal = desk.translate(&sent).err().unwrap();
        assert_eq!(refusal.problem, expected, "{refusal}");
    };
    let unknown = |revision: &str| Problem::Unreadable(oid(revision).parse().unwrap());
    for revision in ["main", "main^{tree}", "main:conf/app.env", "v1"] {
        check(at("refs/heads/x", &zero, &oid(revision)), unknown(revision));
    }
    let (main, side) = (masked.git(&["rev-parse", "HEAD"]), oid("side"));
    check(at("refs/heads/main", &side, &side), Problem::Stale);
    check(at("refs/heads/main", &zero, &side), Problem::Stale);
    check(at("refs/heads/new", &main, &side), Problem::Stale);
    check(at("refs/heads/main", &oid("main"), &zero), Problem::Stale);
    for name in [
        "refs/heads/hidden/x".to_owned(),
        format!("refs/replace/{main}"),
        format!("refs/heads/{}", secret(3)),
    ] {
        check(at(&name, &zero, &side), Problem::RefName);
    }
    // Built upon an original's commit or tree, without sending it.
    let raw = |text: String| {
        let mut git = masked.command(&[
            "hash-object",
            "-t",
            "commit",
            "--literally",
            "-w",
            "--stdin",
        ]);
        let mut child = git
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let oid = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        oid.trim().to_owned()
    };
    let me = "author A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\nm\n";
    for text in [
        format!(
            "tree {}\nparent {}\n{me}",
            masked.git(&["rev-parse", "HEAD^{tree}"]),
            oid("main")
        ),
        format!("tree {}\nparent {main}\n{me}", oid("main^{tree}")),
    ] {
        let new = raw(text);
        let mut pack = masked.command(&["pack-objects", "--stdout", "-q"]);
        let file = std::fs::File::create(desk.path("raw.pack")).unwrap();
        let mut child = pack
            .stdin(std::process::Stdio::piped())
            .stdout(file)
            .spawn()
            .unwrap();
        std::io::Write::write_all(
            &mut child.stdin.take().unwrap(),
            format!("{new}\n").as_bytes(),
        )
        .unwrap();
        assert!(child.wait().unwrap().success());
        let sent = Sent {
            commands: vec![at("refs/heads/main", &main, &new)],
            pack: Some(desk.path("raw.pack")),
        };
        assert_eq!(desk.translate(&sent).err().unwrap().problem, Problem::Pack);
    }
}

#[test]
fn whoever_comes_second_has_to_fetch() {
    let desk = Desk::new("sha1");
    let masked = desk.clone_of("shadow.git", "late", &[]);
    masked.commit("Late");
    let late = desk.send(&masked, MAIN);
    desk.accepts(|clone| clone.commit("First"), MAIN);
    assert_eq!(desk.translate(&late).err().unwrap().problem, Problem::Stale);
    masked.git(&["pull", "-q", "--rebase"]);
    let again = desk.send(&masked, MAIN);
    desk.apply(
        &desk
            .translate(&again)
            .unwrap_or_else(|refusal| panic!("{refusal}")),
    );
    desk.settles(&again);
}

#[test]
fn of_two_that_look_alike_the_refs_own_is_meant() {
    let desk = Desk::new("sha1");
    // The same commit with and without a signature: one name in the view.
    let full = desk.clone_of("original.git", "full", &[]);
    signing(&full);
    full.git(&["commit", "-q", "--allow-empty", "-m", "Release"]);
    full.git(&["push", "-q", "origin", "HEAD:refs/heads/plain"]);
    full.git(&[
        "commit",
        "-q",
        "--allow-empty",
        "--amend",
        "-S",
        "--no-edit",
    ]);
    full.git(&["push", "-q", "origin", "HEAD:refs/heads/signed"]);
    let value = |name: &str, branch: &str| desk.at(name).git(&["rev-parse", branch]);
    assert_ne!(
        value("original.git", "plain"),
        value("original.git", "signed")
    );
    desk.build("shadow.git");
    assert_eq!(value("shadow.git", "plain"), value("shadow.git", "signed"));
    let upon = |branch: &'static str| {
        move |clone: &Clone| {
            clone.git(&["checkout", "-q", branch]);
            clone.commit(branch);
        }
    };
    desk.accepts(upon("plain"), &["plain"]);
    desk.accepts(upon("signed"), &["signed"]);
    let both = desk.refuses(
        |clone| {
            clone.git(&["checkout", "-q", "-b", "third", "origin/plain~1"]);
            clone.commit("Third");
        },
        &["third"],
        Problem::TwoOriginals(value("shadow.git", "plain~1").parse().unwrap()),
    );
    assert!(both.to_string().starts_with("refs/heads/third, "), "{both}");
}

#[test]
fn what_is_said_names_nothing_of_the_original() {
    let desk = Desk::new("sha1");
    let masked = desk.masked(&[]);
    masked.edit("conf/app.env", |text| format!("# beside\n{text}"));
    masked.commit("Edit");
    let sent = desk.send(&masked, MAIN);
    let translated = desk
        .translate(&sent)
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    let new = translated.commands[0].new.to_string();
    let pushed = sent.commands[0].new.to_string();
    let (old, seen) = (
        desk.at("original.git").git(&["rev-parse", "main~1"]),
        desk.at("shadow.git").git(&["rev-parse", "main~1"]),
    );
    desk.apply(&translated);
    let blob = desk
        .at("original.git")
        .git(&["rev-parse", "main:conf/app.env"]);
    let unknown = "1234567890".repeat(4);
    let side = desk.at("original.git").git(&["rev-parse", "side"]);
    let said = format!(
        "commit {new}, {}: T={}\nwas {old} {side}\nblob {}\nat {unknown}\nat {blob}\nrequest 8FZK2M0T",
        &new[..10],
        secret(1),
        &blob[..9],
    );
    let told = desk.with_view(|view| told(view, Some(&translated), said.as_bytes()));
    let told = String::from_utf8(told).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with(&format!("commit {pushed}, {}: T=REFWARDEN-", &pushed[..10])));
    assert_eq!(lines[1], format!("was {seen} {side}"));
    assert!(!lines[2].contains(&blob[..9]));
    assert_eq!(lines[3..], [WITHHELD, WITHHELD, "request 8FZK2M0T"]);
}
