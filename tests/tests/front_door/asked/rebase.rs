//! An approval that is bound to patches outlives a clean rebase, and nothing else.

use refwarden_testkit::{Repository, Via, Work};

use super::setup::{MAIN, approve, ask, asked, push_to};
use crate::shared::{count, request_of};

/// Two commits that change a text file, a binary one and a mode, approved; then `main` moves on.
struct Overtaken<'a> {
    repository: Repository<'a>,
    request: String,
}

impl Overtaken<'static> {
    fn new(name: &str) -> Self {
        let repository = Repository::guarded(asked(), name);
        let request = {
            let work = repository.work();
            feature(&work);
            let request = ask(&work, MAIN);
            approve(asked(), "grace", &request);
            request
        };
        let other = repository.work();
        other.commit(&[(b"elsewhere", b"moved on\n")], "Move on");
        let theirs = request_of(&push_to(&other, MAIN).fails(&["RW201"]));
        approve(asked(), "grace", &theirs);
        push_to(&other, MAIN).passes();
        Self {
            repository,
            request,
        }
    }

    /// The two commits, on top of what `main` is now.
    fn rebased(&self) -> Work<'_> {
        let work = self.repository.work();
        feature(&work);
        work
    }

    /// Another request is asked for, and the old approval is left as it was.
    #[track_caller]
    fn is_asked_anew(&self, work: &Work<'_>) {
        let fresh = request_of(&push_to(work, MAIN).fails(&["RW201"]));
        assert_ne!(fresh, self.request);
        assert_eq!(
            asked().api("audrey").request(&self.request).state,
            "approved"
        );
        assert_eq!(count(&self.repository, "request.kept", MAIN), 0);
    }
}

/// Makes commits that are not quite those that were approved.
type Attempt<'a> = &'a dyn Fn(&Work<'_>);

fn text(work: &Work<'_>) {
    work.commit(&[(b"text", b"one\ntwo\n")], "Write text");
}

fn binary(work: &Work<'_>) {
    work.commit(
        &[(b"binary", b"\0\x01\x02"), (b"run", b"#!/bin/sh\n")],
        "Add a program",
    );
}

fn feature(work: &Work<'_>) {
    text(work);
    binary(work);
}

#[test]
fn a_clean_rebase_keeps_its_approval_once() {
    let overtaken = Overtaken::new("rebase-clean");
    let work = overtaken.rebased();
    push_to(&work, MAIN).passes();
    let audrey = asked().api("audrey");
    let request = audrey.request(&overtaken.request);
    assert_eq!(request.state, "used");
    assert!(request.survives_rebase);
    let head = work.git(&["rev-parse", "HEAD"]);
    assert_eq!(request.kept.len(), 1);
    assert_eq!(request.kept[0].new, head);
    assert_ne!(request.new, head, "people looked at other commits");
    assert_eq!(count(&overtaken.repository, "request.kept", MAIN), 1);
    let url = format!("{}/r/{}", asked().started().service_url, request.id);
    let page = asked().browser("grace").open(&url);
    assert!(
        page.body.contains("Rebased, with the same patches"),
        "{}",
        page.body
    );

    // It is spent: the same patches once more, on yet another base.
    let base = work.git(&["rev-parse", "HEAD~2"]);
    std::fs::write(overtaken.repository.path.join(MAIN), format!("{base}\n")).unwrap();
    let again = overtaken.rebased();
    again.git(&[
        "commit",
        "-q",
        "--amend",
        "--no-edit",
        "--date=2001-01-01T00:00:00Z",
    ]);
    push_to(&again, MAIN).fails(&["RW201"]);
}

#[test]
fn anything_but_a_clean_rebase_is_asked_for_anew() {
    let overtaken = Overtaken::new("rebase-hostile");
    let base = overtaken.repository.value(MAIN).unwrap();
    let attempts: [(&str, Attempt<'_>); 9] = [
        ("a commit is squeezed in", &|work| {
            text(work);
            work.commit(&[(b"backdoor", b"x\n")], "Squeeze in");
            binary(work);
        }),
        ("a commit without changes is squeezed in", &|work| {
            text(work);
            work.commit(&[], "Nothing to see");
            binary(work);
        }),
        ("the order is another", &|work| {
            binary(work);
            text(work);
        }),
        ("a commit is left out", &|work| text(work)),
        ("a binary file is another", &|work| {
            text(work);
            work.commit(
                &[(b"binary", b"\0\x01\x03"), (b"run", b"#!/bin/sh\n")],
                "Add a program",
            );
        }),
        ("a mode is another", &|work| {
            feature(work);
            work.git(&["update-index", "--chmod=+x", "run"]);
            work.git(&["commit", "-q", "--amend", "--no-edit"]);
        }),
        ("white space is another", &|work| {
            work.commit(&[(b"text", b"one\n\ttwo\n")], "Write text");
            binary(work);
        }),
        ("a submodule is put in", &|work| {
            feature(work);
            let entry = format!("160000,{base},sub");
            work.git(&["update-index", "--add", "--cacheinfo", &entry]);
            work.git(&["commit", "-q", "--amend", "--no-edit"]);
        }),
        ("a merge hides something", &|work| {
            feature(work);
            work.git(&["checkout", "-q", "-b", "side", "HEAD~2"]);
            work.commit(&[(b"backdoor", b"x\n")], "Aside");
            work.git(&["checkout", "-q", "main"]);
            work.git(&["merge", "-q", "--no-ff", "-m", "Merge", "side"]);
        }),
    ];
    for (what, change) in attempts {
        eprintln!("{what}");
        let work = overtaken.repository.work();
        change(&work);
        overtaken.is_asked_anew(&work);
    }
}

#[test]
fn another_author_message_ref_or_pusher_is_asked_for_anew() {
    let overtaken = Overtaken::new("rebase-others");
    let work = overtaken.rebased();
    work.git(&[
        "commit",
        "-q",
        "--amend",
        "--no-edit",
        "--author=Eve <eve@example.org>",
    ]);
    overtaken.is_asked_anew(&work);
    let work = overtaken.rebased();
    work.git(&["commit", "-q", "--amend", "-m", "Something harmless"]);
    overtaken.is_asked_anew(&work);

    // Somebody else's push of the very same commits, and one for nobody.
    let work = overtaken.rebased();
    let push = [&*format!("HEAD:{MAIN}")];
    for (client, person) in [("agent", "lin"), ("operator", "ada")] {
        let token = asked().token_as(client, person, "10m");
        let refused = work.push_with(&token, Via::Local, &push).fails(&["RW201"]);
        assert_ne!(request_of(&refused), overtaken.request);
    }
    assert_eq!(
        asked().api("audrey").request(&overtaken.request).state,
        "approved"
    );
    // Whose it is can still push it.
    push_to(&work, MAIN).passes();
}

#[test]
fn a_submodule_that_moves_on_is_asked_for_anew() {
    let repository = Repository::guarded(asked(), "rebase-submodule");
    let bump = |work: &Work<'_>, to: &str| {
        let entry = format!("160000,{},sub", to.repeat(40));
        work.git(&["update-index", "--add", "--cacheinfo", &entry]);
        work.git(&["commit", "-q", "-m", "Bump"]);
    };
    let work = repository.work();
    bump(&work, "1");
    let request = ask(&work, MAIN);
    approve(asked(), "grace", &request);
    let again = repository.work();
    bump(&again, "2");
    assert_ne!(ask(&again, MAIN), request);
    work.git(&[
        "commit",
        "-q",
        "--amend",
        "--no-edit",
        "--date=2001-01-01T00:00:00Z",
    ]);
    assert_ne!(ask(&work, MAIN), request, "the author's time is another");
    push_to(&again, "refs/heads/topic").passes();
}
