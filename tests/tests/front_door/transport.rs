//! Every kind of push, over every way in.

use refwarden_testkit::{Repository, Sshd, Via};

use crate::shared::{approve, request_of, sshd, stack};

/// Everything that a client can do to refs, with what must come of it.
fn check(via: Via<'_>, name: &str) {
    let repository = Repository::guarded(stack(), name);
    let work = repository.work();
    let begin = work.git(&["rev-parse", "HEAD"]);

    // Unprotected: create, fast-forward, force, tag, delete.
    let one = work.commit(&[(b"one", b"1\n")], "One");
    work.push(via, &["HEAD:refs/heads/topic"]).passes();
    assert_eq!(repository.value("refs/heads/topic"), Some(one.clone()));
    let two = work.commit(&[(b"two", b"2\n")], "Two");
    work.push(via, &["HEAD:refs/heads/topic"]).passes();
    assert_eq!(repository.value("refs/heads/topic"), Some(two.clone()));
    work.push(via, &["--force", &format!("{one}:refs/heads/topic")])
        .passes();
    assert_eq!(repository.value("refs/heads/topic"), Some(one.clone()));
    work.git(&["tag", "-a", "-m", "First", "v1", &one]);
    work.push(via, &["refs/tags/v1"]).passes();
    assert!(repository.value("refs/tags/v1").is_some());
    work.push(via, &[":refs/heads/topic"]).passes();
    assert_eq!(repository.value("refs/heads/topic"), None);

    // A tag that stands is not moved.
    work.git(&["tag", "-f", "-a", "-m", "Other", "v1", &two]);
    work.push(via, &["--force", "refs/tags/v1"])
        .fails(&["RW203", "refs/tags/v1"]);

    // Protected: a fast-forward waits, the rest is refused.
    let refused = work.push(via, &["HEAD:refs/heads/main"]);
    let refused = refused.fails(&["RW201", "refs/heads/main", "run the same git push again"]);
    assert_eq!(repository.value("refs/heads/main"), Some(begin.clone()));
    approve(stack(), &request_of(&refused));
    work.push(via, &["HEAD:refs/heads/main"]).passes();
    assert_eq!(repository.value("refs/heads/main"), Some(two.clone()));
    work.push(via, &["--force", &format!("{begin}:refs/heads/main")])
        .fails(&["RW203", "refs/heads/main"]);
    work.push(via, &[":refs/heads/main"])
        .fails(&["RW203", "refs/heads/main"]);
    assert_eq!(repository.value("refs/heads/main"), Some(two.clone()));

    // Several refs: one that is refused refuses them all, whether git is told to or not.
    let mixed = [
        &format!("{one}:refs/heads/a")[..],
        &format!("{begin}:refs/heads/b"),
    ];
    work.push(via, &mixed).passes();
    let three = work.commit(&[(b"three", b"3\n")], "Three");
    let mixed = ["HEAD:refs/heads/c", "HEAD:refs/heads/main"];
    work.push(via, &mixed).fails(&["RW201"]);
    work.push(via, &["--atomic", mixed[0], mixed[1]])
        .fails(&["RW201"]);
    assert_eq!(repository.value("refs/heads/c"), None);
    work.push(via, &["--atomic", "HEAD:refs/heads/c", "HEAD:refs/heads/d"])
        .passes();
    assert_eq!(repository.value("refs/heads/d"), Some(three));

    // What was pushed is served.
    let listed = work.push(via, &["--dry-run", "HEAD:refs/heads/c"]).passes();
    assert!(listed.said().contains("up-to-date"), "{listed}");
}

#[test]
fn every_push_over_a_local_path() {
    check(Via::Local, "transport-local");
}

#[test]
fn every_push_over_http() {
    check(Via::Http, "transport-http");
}

#[test]
fn every_push_over_ssh() {
    check(Via::Ssh(&sshd()), "transport-ssh");
}

#[test]
fn every_push_through_the_login_shell() {
    let sshd = Sshd::with_shell(&stack().started().repositories, &[]);
    check(Via::Ssh(&sshd), "transport-shell");
}

#[test]
fn an_empty_repository_begins_with_an_approval() {
    let repository = Repository::empty(stack(), "empty", "sha1");
    repository.install().passes();
    let work = repository.work();
    let first = work.commit(&[(b"README", b"Hello.\n")], "First");
    let refused = work
        .push(Via::Http, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    approve(stack(), &request_of(&refused));
    work.push(Via::Http, &["HEAD:refs/heads/main"]).passes();
    assert_eq!(repository.value("refs/heads/main"), Some(first));
}

#[test]
fn a_clone_through_the_proxy_is_the_repository() {
    let repository = Repository::guarded(stack(), "clone");
    let git = refwarden_testkit::with_token(stack().git(), &stack().token("ada"), Via::Http);
    let directory = tempfile::tempdir().unwrap();
    for version in ["0", "1", "2"] {
        let protocol = format!("protocol.version={version}");
        let into = directory.path().join(version).display().to_string();
        let url = repository.http_url();
        let arguments = ["-c", &protocol, "clone", "-q", "--mirror", &url, &into];
        git.run(directory.path(), &arguments).passes();
        let theirs = git.run(into.as_ref(), &["for-each-ref"]).passes().text();
        assert_eq!(theirs, repository.git(&["for-each-ref"]).text());
        git.run(into.as_ref(), &["fsck", "--full"]).passes();
    }
    let url = repository.http_url();
    for option in ["--depth=1", "--filter=blob:none"] {
        let into = directory.path().join(option).display().to_string();
        git.run(directory.path(), &["clone", "-q", option, &url, &into])
            .passes();
    }
}
