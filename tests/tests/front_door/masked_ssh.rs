//! Masked views over SSH, through `refwarden-shell` with a real sshd: they give what the proxy
//! gives, take what it takes, and tell no more.

use refwarden_testkit::{Api, Git, Outcome, Repository, Sshd, Stack, Via, with_token, within};
use tempfile::TempDir;

use crate::masked::{Clone, configured, masked_stack, planted, push};
use crate::masked_channels::{Reader, holds, tells_nothing_apart};
use crate::shared::{approve, request_of, secret};
use crate::unmasked::{stack, tells_no_names, write};

fn sshd(stack: &Stack) -> Sshd {
    Sshd::with_shell(&stack.started().repositories, &[])
}

/// git that comes over SSH, with a token.
fn over(sshd: &Sshd, stack: &Stack, token: &str) -> Git {
    with_token(stack.git(), token, Via::Ssh(sshd))
}

/// Clones over SSH.
fn attempt(
    sshd: &Sshd,
    repository: &Repository<'_>,
    token: &str,
    options: &[&str],
) -> (Clone, Outcome) {
    let directory: TempDir = tempfile::tempdir().unwrap();
    let git = over(sshd, repository.stack, token);
    let url = sshd.named_url(&repository.name);
    let all = [options, &["clone", "-q", &url, "."]].concat();
    let outcome = git.run(directory.path(), &all);
    (Clone { directory, git }, outcome)
}

#[track_caller]
fn cloned(sshd: &Sshd, repository: &Repository<'_>, options: &[&str]) -> Clone {
    let token = repository.stack.token("ada");
    let (clone, outcome) = attempt(sshd, repository, &token, options);
    outcome.passes();
    clone
}

/// Pushes with a fresh token, as an agent that acts for ada.
fn send(sshd: &Sshd, repository: &Repository<'_>, clone: &Clone, arguments: &[&str]) -> Outcome {
    let token = repository.stack.token("ada");
    let git = over(sshd, repository.stack, &token);
    let outcome = git.run(clone.path(), &[&["push", "origin"], arguments].concat());
    tells_no_names(repository, clone, &outcome);
    outcome
}

#[test]
fn what_is_cloned_edited_and_pushed_over_ssh_is_as_over_http() {
    let sshd = sshd(stack());
    for (name, format, seed) in [("ssh-1", "sha1", 9400), ("ssh-256", "sha256", 9410)] {
        let repository = planted(stack(), name, format, seed);
        let told = [secret(seed), secret(seed + 1)];
        let http = Clone::new(&repository, &stack().token("ada"), &[]);
        for version in ["0", "1", "2"] {
            let protocol = format!("protocol.version={version}");
            let clone = cloned(&sshd, &repository, &["-c", &protocol]);
            assert_eq!(clone.git(&["show-ref"]), http.git(&["show-ref"]));
            clone.tells_nothing(&repository, &told);
        }
        let clone = cloned(&sshd, &repository, &[]);
        let shown = clone.read("conf/app");
        assert!(shown.contains("REFWARDEN-MASKED-"), "{shown}");
        let first = write(&clone, "conf/app", &format!("# mine\n{shown}"), "Beside");
        send(&sshd, &repository, &clone, &["HEAD:refs/heads/topic"]).passes();
        let there = repository
            .git(&["show", "refs/heads/topic:conf/app"])
            .text();
        let whole = format!("# mine\nuser = a\ntoken = {}\nend", secret(seed));
        assert_eq!(there, whole);
        let parent = repository.value("refs/heads/topic~1");
        assert_eq!(parent, repository.value("refs/heads/main"));

        // People look at what goes to main, and the same push passes then.
        let main = ["HEAD:refs/heads/main"];
        let refused = send(&sshd, &repository, &clone, &main).fails(&["RW201"]);
        let request = request_of(&refused);
        let api = Api::new(&stack().started().service_url, &stack().token("ada"));
        let shown = api.request(&request);
        assert_eq!((shown.old, shown.new, shown.digest), Default::default());
        approve(stack(), &request);
        send(&sshd, &repository, &clone, &main).passes();

        // What others push meanwhile is there at the next fetch.
        let work = repository.work();
        work.commit(&[(b"more", b"more\n")], "More");
        push(&work, &["HEAD:refs/heads/theirs"]);
        clone.git(&["fetch", "-q"]);
        assert_eq!(clone.git(&["rev-parse", "origin/main"]), first);
        assert_eq!(clone.git(&["show", "origin/theirs:more"]), "more");
        let theirs = clone.git(&["show", "origin/theirs:conf/app"]);
        assert!(theirs.contains("REFWARDEN-MASKED-"), "{theirs}");
        send(&sshd, &repository, &clone, &[":refs/heads/theirs"]).passes();
        assert_eq!(repository.value("refs/heads/theirs"), None);
        clone.tells_nothing(&repository, &told);
        repository.git(&["fsck", "--full", "--strict"]).passes();
        crate::shared::replay(&repository).passes();

        // A person reads everything, at the same URL.
        let person = stack().token_as("operator", "ada", "10m");
        let (whole, outcome) = attempt(&sshd, &repository, &person, &[]);
        outcome.passes();
        assert!(whole.read("conf/app").contains(&secret(seed)));
        let head = Some(whole.git(&["rev-parse", "HEAD"]));
        assert_eq!(head, repository.value("refs/heads/main"));
    }
}

#[test]
fn a_secret_goes_nowhere_else_over_ssh_either() {
    let sshd = sshd(stack());
    let repository = planted(stack(), "ssh-moved", "sha1", 9420);
    let before = repository.refs();
    let refuse = |name: &str, text: &str| {
        let clone = cloned(&sshd, &repository, &[]);
        write(&clone, name, text, "Mine");
        send(&sshd, &repository, &clone, &["HEAD:refs/heads/topic"])
    };
    let shown = cloned(&sshd, &repository, &[]).read("conf/app");
    let line = shown.lines().nth(1).unwrap();
    refuse("README.md", line).fails(&["RW303", "README.md:1", "pre-receive hook declined"]);
    let fresh = format!("token = {}\n", secret(9429));
    refuse("conf/new", &fresh).fails(&["RW301", "conf/new:1"]);
    assert_eq!(repository.refs(), before);
    let events = stack().api("audrey").events("ssh-moved");
    let refused: Vec<_> = events
        .iter()
        .filter(|it| it.kind == "push.refused")
        .collect();
    assert_eq!(refused.len(), 2, "{events:#?}");
    // By the name that the token gives, though nobody has judged the push.
    let named = refused.iter().all(|it| it.actor.ends_with("for ada"));
    assert!(named, "{refused:#?}");
}

#[test]
fn what_the_view_lacks_is_answered_over_ssh_like_what_never_was() {
    let sshd = sshd(masked_stack());
    let repository = planted(masked_stack(), "ssh-chan", "sha1", 9430);
    let clone = cloned(&sshd, &repository, &[]);
    let reader = Reader::over_ssh(&repository, &sshd);
    tells_nothing_apart(&reader, &clone.git(&["rev-parse", "HEAD"]));
}

#[test]
fn only_plain_fetches_are_answered_over_ssh() {
    let sshd = sshd(masked_stack());
    let repository = planted(masked_stack(), "ssh-plain", "sha1", 9440);
    let main = repository.value("refs/heads/main").unwrap();
    let reader = Reader::over_ssh(&repository, &sshd);
    let clone = cloned(&sshd, &repository, &[]);
    let head = clone.git(&["rev-parse", "HEAD"]);
    let done = "done".to_owned();
    let want = format!("want {head}");
    for (command, arguments) in [
        (
            "fetch",
            vec!["want-ref refs/heads/main".into(), done.clone()],
        ),
        ("fetch", vec![want, "packfile-uris https".into(), done]),
        ("bundle-uri", Vec::new()),
        ("object-info", vec!["size".into(), format!("oid {head}")]),
    ] {
        let (code, bytes) = reader.command(command, &arguments);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_ne!(code, 0, "{command} {arguments:?}: {shown}");
        assert!(!holds(&bytes, "PACK"), "{command} {arguments:?}: {shown}");
        // What git says of it on standard error stays here.
        assert!(!holds(&bytes, "fatal:"), "{command} {arguments:?}: {shown}");
        for word in ["ref-in-want", "bundle-uri\n", "session-id", &main] {
            assert!(!shown.contains(word), "{word}: {shown}");
        }
    }
    let variables = [("REFWARDEN_TOKEN", &*reader.token)];
    for asked in [
        "git-upload-archive 'ssh-plain.git'",
        "git upload-archive 'ssh-plain.git'",
        "git-upload-pack --advertise-refs 'ssh-plain.git'",
        "git-receive-pack --skip-connectivity-check 'ssh-plain.git'",
    ] {
        let outcome = sshd.session(&variables, asked, b"0000");
        outcome.fails(&["RW401"]);
    }
    // Those who push are told the view's refs.
    let told = sshd.session(&variables, "git-receive-pack 'ssh-plain.git'", b"0000");
    let told = told.passes().everything();
    assert!(told.contains(&head) && !told.contains(&main), "{told}");
}

#[test]
fn nobody_is_told_where_refs_are_before_it_is_known_what_he_reads() {
    let sshd = sshd(masked_stack());
    let repository = planted(masked_stack(), "ssh-nobody", "sha1", 9450);
    let main = repository.value("refs/heads/main").unwrap();
    for asked in ["git-receive-pack", "git-upload-pack"] {
        let asked = format!("{asked} 'ssh-nobody.git'");
        let outcome = sshd.session(&[], &asked, b"0000").fails(&["RW101"]);
        assert!(!outcome.everything().contains(&main), "{outcome}");
    }
    let barred = planted(masked_stack(), "barred-ssh", "sha1", 9460);
    let token = masked_stack().token("ada");
    attempt(&sshd, &barred, &token, &[]).1.fails(&["RW206"]);
}

#[test]
fn where_the_host_keeps_no_views_masked_readers_get_nothing() {
    let stack = configured(str::to_owned, "");
    let sshd = sshd(&stack);
    let repository = planted(&stack, "ssh-none", "sha1", 9470);
    let file = stack.directory().join("hook.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, section) = text.split_once("[views]").unwrap();
    std::fs::write(&file, before).unwrap();
    let token = stack.token("ada");
    let (_, refused) = attempt(&sshd, &repository, &token, &[]);
    refused.fails(&["RW407", "HTTP URL"]);
    // Who does not wait is told to come back, and finds what was begun for him.
    let impatient = format!("{before}[views]{section}wait_seconds = 0\n");
    std::fs::write(&file, impatient).unwrap();
    let list = || {
        let git = over(&sshd, &stack, &token);
        git.run(
            &repository.path,
            &["ls-remote", &sshd.named_url("ssh-none")],
        )
    };
    list().fails(&["RW506", "try again"]);
    within(
        "the view is there",
        std::time::Duration::from_mins(1),
        || list().ok(),
    );
    // A key that cannot be read is the administrator's to know.
    let key = stack.directory().join("view.key").display().to_string();
    std::fs::write(&file, text.replace(&key, "/nowhere/at/all")).unwrap();
    let refused = list().fails(&["RW506"]);
    assert!(!refused.everything().contains("nowhere"), "{refused}");
}

#[test]
fn without_the_service_masked_readers_read_on_and_others_wait() {
    let stack = configured(str::to_owned, "");
    let sshd = sshd(&stack);
    let repository = planted(&stack, "ssh-away", "sha1", 9480);
    let told = [secret(9480), secret(9481)];
    let (agent, person) = (stack.token("ada"), stack.token_as("operator", "ada", "10m"));
    let clone = |token: &str| attempt(&sshd, &repository, token, &[]);
    let (masked, outcome) = clone(&agent);
    outcome.passes();
    masked.tells_nothing(&repository, &told);
    let (whole, outcome) = clone(&person);
    outcome.passes();
    assert!(whole.read("conf/app").contains(&told[0]));
    stack.kill("service");
    let (masked, outcome) = clone(&agent);
    outcome.passes();
    masked.tells_nothing(&repository, &told);
    // Whether they still may read everything is not known.
    clone(&person).1.fails(&["RW501"]);
}
