//! The login shell: who comes with an SSH certificate is known by it, who comes with neither
//! certificate nor token gets nothing, and nobody gets anything but git.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use refwarden_testkit::{Outcome, Repository, Sshd, Stack, Via, Work, with_token};
use rustix::process::geteuid;
use serde_json::json;

use crate::fetches::{column, recorded};
use crate::shared::{approve, request_of, stack};

/// What a certificate needs to be taken: a minute or so of validity.
const SOON: [&str; 2] = ["-V", "-1m:+30m"];

/// A Refwarden that takes certificates of people and of agents, and an sshd that trusts one
/// authority more than it does.
struct Certified {
    stack: Stack,
    sshd: Sshd,
}

impl Certified {
    /// `more` stands in the section of the authority.
    fn start(more: &str) -> Self {
        let mut stack = Stack::start();
        let principals = ["ada", "grace", "robot", "lee"];
        let sshd = Sshd::with_shell(&stack.started().repositories, &principals);
        let file = stack.directory().join("refwarden.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let section = format!(
            "[[ssh_authority]]\npublic_key = \"{}\"\nissuer = \"{}/idp\"\n{more}\n",
            sshd.authority("authority"),
            stack.started().service_url
        );
        std::fs::write(&file, format!("{text}\n{section}")).unwrap();
        stack.restart();
        Self { stack, sshd }
    }
}

fn git(work: &Work<'_>, ssh: &str, arguments: &[&str]) -> Outcome {
    work.git
        .with("GIT_SSH_COMMAND", ssh)
        .run(work.path(), arguments)
}

#[test]
fn a_certificate_is_enough_to_clone_and_to_push() {
    let certified = Certified::start("");
    let repository = Repository::guarded(&certified.stack, "team/app");
    let url = certified.sshd.named_url("team/app");
    let work = repository.work();
    let arguments = [&SOON[..], &["-n", "ada"]].concat();
    let ada = certified.sshd.certified("laptop", "authority", &arguments);
    let new = work.commit(&[(b"a", b"a\n")], "A");
    let push = |target: &str| git(&work, &ada, &["push", &url, target]);

    push("HEAD:refs/heads/topic").passes();
    assert_eq!(repository.value("refs/heads/topic"), Some(new.clone()));
    let cloned = tempfile::tempdir().unwrap();
    let git = work.git.with("GIT_SSH_COMMAND", &ada);
    for version in ["0", "1", "2"] {
        let config = format!("protocol.version={version}");
        let into = cloned.path().join(version).display().to_string();
        git.run(cloned.path(), &["-c", &config, "clone", "-q", &url, &into])
            .passes();
    }

    // Whoever the certificate names is the pusher: the record has it, and self-approval is off.
    let refused = push("HEAD:refs/heads/main").fails(&["RW201"]);
    let request = request_of(&refused);
    let (status, body) = certified
        .stack
        .api("ada")
        .decide(&request, "approve", "Mine.");
    assert_eq!(status, 403, "{body}");
    approve(&certified.stack, &request);
    push("HEAD:refs/heads/main").passes();
    assert_eq!(repository.value("refs/heads/main"), Some(new));
    let events = certified.stack.api("audrey").events("team/app");
    let moved = events.iter().filter(|event| event.kind == "ref.committed");
    let actors: Vec<&str> = moved.map(|event| event.actor.as_str()).collect();
    assert_eq!(actors, ["ada", "ada"], "{events:#?}");
}

#[test]
fn a_certificate_may_list_groups() {
    let certified = Certified::start("groups = \"groups@example.com\"");
    let repository = Repository::guarded(&certified.stack, "grouped");
    let url = certified.sshd.named_url("grouped");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    for (name, groups, expected) in [
        ("listed", Some("dev, ops,"), json!(["dev", "ops"])),
        ("unlisted", None, json!([])),
    ] {
        let extension = groups.map(|groups| format!("extension:groups@example.com={groups}"));
        let mut arguments = [&SOON[..], &["-n", "ada"]].concat();
        if let Some(extension) = &extension {
            arguments.extend(["-O", extension]);
        }
        let ssh = certified.sshd.certified(name, "authority", &arguments);
        let target = format!("HEAD:refs/heads/{name}");
        git(&work, &ssh, &["push", &url, &target]).passes();
        let events = certified.stack.api("audrey").events("grouped");
        let push = events.iter().rev().find_map(|event| event.push_id).unwrap();
        let record: serde_json::Value = certified
            .stack
            .api("audrey")
            .read(&format!("/pushes/{push}"));
        let pusher = &record["chain"]["pusher"];
        let groups = pusher.get("groups").cloned().unwrap_or(json!([]));
        assert_eq!(groups, expected, "{record}");
    }
    let many = format!("extension:groups@example.com={}", "g,".repeat(201));
    let arguments = [&SOON[..], &["-n", "ada", "-O", &many]].concat();
    let ssh = certified.sshd.certified("many", "authority", &arguments);
    git(&work, &ssh, &["ls-remote", &url]).fails(&["RW102", "groups are too many"]);
}

#[test]
fn an_agent_s_certificate_names_the_person_behind_it() {
    let certified = Certified::start(
        "kind = \"agent\"\nsubject = \"key_id\"\non_behalf_of = \"on-behalf-of@example.com\"",
    );
    let repository = Repository::guarded(&certified.stack, "agents");
    let url = certified.sshd.named_url("agents");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let principals = [&SOON[..], &["-n", "robot,lee"]].concat();
    let behind = ["-O", "extension:on-behalf-of@example.com=ada"];
    let whole = [&principals[..], &behind].concat();
    let robot = certified.sshd.certified("robot-7", "authority", &whole);
    let refused = git(&work, &robot, &["push", &url, "HEAD:refs/heads/main"]).fails(&["RW201"]);
    let events = certified.stack.api("audrey").events("agents");
    assert!(
        events.iter().any(|event| event.actor == "robot-7 for ada"),
        "{events:#?}"
    );
    let request = request_of(&refused);
    let (status, body) = certified
        .stack
        .api("ada")
        .decide(&request, "approve", "Mine.");
    assert_eq!(status, 403, "{body}");

    let alone = certified
        .sshd
        .certified("robot-8", "authority", &principals);
    git(&work, &alone, &["ls-remote", &url]).fails(&["RW102", "does not say for whom it acts"]);
}

#[test]
fn a_certificate_that_is_not_right_gets_nothing() {
    let certified = Certified::start("");
    let repository = Repository::guarded(&certified.stack, "wary");
    let url = certified.sshd.named_url("wary");
    let work = repository.work();
    let list = |name: &str, by: &str, arguments: &[&str]| {
        let ssh = certified.sshd.certified(name, by, arguments);
        git(&work, &ssh, &["ls-remote", &url])
    };
    let ada = ["-n", "ada"];
    let soon = |arguments: &[&'static str]| [&SOON[..], arguments].concat();
    list("good", "authority", &soon(&ada)).passes();
    list("other", "stranger", &soon(&ada)).fails(&["RW104", "no ssh_authority"]);
    list("many", "authority", &soon(&["-n", "ada,grace"])).fails(&["RW102", "one principal"]);
    list("long", "authority", &["-V", "-1m:+10h", "-n", "ada"]).fails(&["RW102", "too long"]);
    list("ever", "authority", &ada).fails(&["RW102", "with an end"]);
    // sshd itself lets these not in; a host that lied about it would get no token for them.
    let gone = ["-V", "-2h:-1h", "-n", "ada"];
    list("gone", "authority", &gone).fails(&["Permission denied"]);
    let host = ["-h", "-V", "-1m:+30m", "-n", "ada"];
    list("machine", "authority", &host).fails(&["Permission denied"]);
    let odd = soon(&["-n", "ada", "-O", "critical:jump@example.com=high"]);
    list("odd", "authority", &odd).fails(&["Permission denied"]);

    let id = repository.git(&["config", "refwarden.repository"]).text();
    let credential = std::fs::read_to_string(certified.stack.directory().join("host.key"));
    let credential = credential.unwrap();
    let service = &certified.stack.started().service_url;
    let ask = |certificate: &str, credential: &str| {
        let answer = reqwest::blocking::Client::new()
            .post(format!("{service}/hook/v1/ssh-token"))
            .bearer_auth(credential)
            .json(&json!({"repository": id, "operation": "push", "certificate": certificate}))
            .send()
            .unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    let good = certified.sshd.certificate("good");
    assert_eq!(ask(&good, credential.trim()).0, 200);
    assert_eq!(ask(&good, "rwh_wrong").0, 401);
    let mut forged: Vec<&str> = good.split(' ').collect();
    let mut bytes = forged[1].as_bytes().to_vec();
    // Somewhere in the key that is certified.
    bytes[120] = if bytes[120] == b'A' { b'B' } else { b'A' };
    let bytes = String::from_utf8(bytes).unwrap();
    forged[1] = &bytes;
    for (certificate, code) in [
        (certified.sshd.certificate("gone"), "RW103"),
        (certified.sshd.certificate("machine"), "RW102"),
        (certified.sshd.certificate("odd"), "RW102"),
        (certified.sshd.authority("authority"), "RW102"),
        (forged.join(" "), "RW102"),
        ("A".repeat(1 << 20), "RW102"),
        (String::new(), "RW102"),
    ] {
        let (status, body) = ask(&certificate, credential.trim());
        assert_eq!(status, 401, "{certificate:.60} {body}");
        assert!(body.contains(code), "{certificate:.60} {body}");
    }
    let denied = certified.stack.api("audrey").events("wary");
    assert!(denied.iter().any(|event| event.kind == "access.denied"));
}

#[test]
fn without_certificate_a_token_is_needed_and_enough() {
    let sshd = Sshd::with_shell(&stack().started().repositories, &[]);
    let repository = Repository::guarded(stack(), "shell-token");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let url = sshd.named_url("shell-token.git");
    let git = work.git.with("GIT_SSH_COMMAND", &sshd.command());
    git.run(work.path(), &["ls-remote", &url]).fails(&["RW101"]);
    git.run(work.path(), &["push", &url, "HEAD:refs/heads/a"])
        .fails(&["RW101"]);
    let known = git.with("REFWARDEN_TOKEN", &stack().token("ada"));
    known.run(work.path(), &["ls-remote", &url]).passes();
    known
        .run(work.path(), &["push", &url, "HEAD:refs/heads/a"])
        .passes();
    // As a push option, where nothing else can carry it.
    repository
        .git(&["config", "receive.advertisePushOptions", "true"])
        .passes();
    let option = format!("token={}", stack().token("ada"));
    git.run(
        work.path(),
        &["push", "-o", &option, &url, "HEAD:refs/heads/b"],
    )
    .passes();
}

#[test]
fn a_fetch_over_ssh_is_recorded_with_git_s_version_and_the_refs_that_were_told() {
    let repository = Repository::guarded(stack(), "shell-told");
    let sshd = Sshd::with_shell(&stack().started().repositories, &[]);
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.git(&["tag", "-a", "-m", "One", "v1"]);
    work.push(Via::Local, &["HEAD:refs/heads/topic", "v1"])
        .passes();
    let token = stack().token("ada");
    let clone = |via, url: &str, version: &str| {
        let git = with_token(stack().git(), &token, via);
        let directory = tempfile::tempdir().unwrap();
        let protocol = format!("protocol.version={version}");
        let clone = ["-c", &protocol, "clone", "-q", "--bare", url, "."];
        git.run(directory.path(), &clone).passes();
        git.run(directory.path(), &["fsck", "--full"]).passes();
    };
    clone(Via::Http, &repository.http_url(), "2");
    recorded(&repository, 1);
    for (number, version) in ["0", "1", "2"].into_iter().enumerate() {
        clone(Via::Ssh(&sshd), &sshd.named_url("shell-told"), version);
        recorded(&repository, number + 2);
    }
    assert_eq!(
        column(&repository, "transport"),
        ["http", "ssh", "ssh", "ssh"]
    );
    let agents = column(&repository, "client_agent");
    assert!(
        agents.iter().all(|agent| agent.starts_with("git/")),
        "{agents:?}"
    );
    assert_eq!(column(&repository, "refs_count"), ["4", "5", "5", "4"]);
    // The same question in version 2, over either way.
    let digests = column(&repository, "refs_digest");
    assert_eq!(digests[0], digests[3]);
    assert!(digests.iter().all(|digest| digest.len() == 64));
    // Several times as much as any buffer on the way.
    let noise: Vec<u8> = (0..3_000_000_u64)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[2])
        .collect();
    work.commit(&[(b"large", &noise)], "Large");
    work.push(Via::Local, &["HEAD:refs/heads/large"]).passes();
    clone(Via::Ssh(&sshd), &sshd.named_url("shell-told"), "0");
    recorded(&repository, 5);
    assert_eq!(column(&repository, "refs_count")[4], "6");
}

#[test]
fn nothing_but_git_is_served_and_nothing_outside_the_root() {
    let sshd = Sshd::with_shell(&stack().started().repositories, &[]);
    let repository = Repository::guarded(stack(), "shell-only");
    let outside = repository.stack.directory().display().to_string();
    let token = stack().token("ada");
    let ssh = |command: &str| {
        let git = repository.stack.git().with("REFWARDEN_TOKEN", &token);
        let mut words = vec![
            "-c",
            "alias.x=!f() { $GIT_SSH_COMMAND -p $PORT 127.0.0.1 \"$@\"; }; f",
        ];
        words.extend(["x", command]);
        git.with("GIT_SSH_COMMAND", &sshd.command())
            .with("PORT", &sshd.port().to_string())
            .run(&repository.path, &words)
    };
    let canary = repository.path.join("canary");
    let touch = format!("touch {}", canary.display());
    for command in [
        "",
        "sh",
        &touch,
        &format!("git-upload-pack 'shell-only.git'; {touch}"),
        &format!("git-upload-pack '$({touch}).git'"),
        &format!("git-upload-pack 'shell-only.git' '--exec={touch}'"),
        "git-upload-archive 'shell-only.git'",
        "git-upload-pack '../repositories/shell-only.git'",
        &format!("git-upload-pack '{outside}'"),
        "git-upload-pack '/etc'",
        "git-upload-pack '.'",
        "git-receive-pack '-x'",
    ] {
        let outcome = ssh(command);
        assert!(!outcome.ok(), "{command}: {outcome}");
        assert!(outcome.said().contains("error: RW"), "{command}: {outcome}");
    }
    assert!(!canary.exists());
    std::os::unix::fs::symlink(&outside, repository.path.with_file_name("way-out.git")).unwrap();
    ssh("git-upload-pack 'way-out'").fails(&["there is no such repository here"]);
    Repository::unguarded(stack(), "shell-unguarded", "sha1");
    ssh("git-upload-pack 'shell-unguarded'").fails(&["there is no such repository here"]);
}

#[test]
fn without_the_service_only_readers_of_a_moment_ago_read_on() {
    let stack = Stack::start();
    let sshd = Sshd::with_shell(&stack.started().repositories, &[]);
    let repository = Repository::guarded(&stack, "alone");
    Repository::guarded(&stack, "unasked");
    let work = repository.work();
    let (known, unknown) = (stack.token("ada"), stack.token("ada"));
    let read = |token: &str, name: &str| {
        let git = work.git.with("GIT_SSH_COMMAND", &sshd.command());
        let git = git.with("REFWARDEN_TOKEN", token);
        let url = sshd.named_url(name);
        git.run(work.path(), &["fetch", &url, "refs/heads/main"])
    };
    read(&known, "alone").passes();
    stack.kill("service");
    read(&known, "alone").passes();
    let plain = ["RW501", "only the approval service knows who may read"];
    read(&unknown, "alone").fails(&plain);
    read(&known, "unasked").fails(&plain);
    // Pushes fail closed, whoever was known.
    work.push_with(&known, Via::Ssh(&sshd), &["HEAD:refs/heads/x"])
        .fails(&["RW501"]);
}

#[test]
fn readers_that_others_could_have_written_count_for_nothing() {
    let stack = Stack::start();
    let sshd = Sshd::with_shell(&stack.started().repositories, &[]);
    let repository = Repository::guarded(&stack, "planted-reader");
    let work = repository.work();
    let token = stack.token("ada");
    let git = work.git.with("GIT_SSH_COMMAND", &sshd.command());
    let git = git.with("REFWARDEN_TOKEN", &token);
    let url = sshd.named_url("planted-reader");
    let list = || git.run(work.path(), &["ls-remote", &url]);
    list().passes();
    stack.kill("service");
    list().passes();
    let readers = stack.directory().join("spool/readers");
    let files = std::fs::read_dir(&readers).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    // What stands of this reader, and by which policy.
    assert_eq!(paths.len(), 2, "{paths:?}");
    paths.push(readers);
    for path in paths {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        let allow = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        allow(mode | 0o002);
        list().fails(&["RW501"]);
        allow(mode);
        // A link to what is good.
        let real = path.with_extension("real");
        std::fs::rename(&path, &real).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        list().fails(&["RW501"]);
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&real, &path).unwrap();
        // Only root can give it away.
        if geteuid().is_root() {
            chown(&path, Some(65534), None).unwrap();
            list().fails(&["RW501"]);
            chown(&path, Some(geteuid().as_raw()), None).unwrap();
        }
        list().passes();
    }
}

#[test]
fn a_certificate_reads_on_without_the_service_and_is_no_token() {
    let certified = Certified::start("");
    let repository = Repository::guarded(&certified.stack, "certified-alone");
    let url = certified.sshd.named_url("certified-alone");
    let work = repository.work();
    let arguments = [&SOON[..], &["-n", "ada"]].concat();
    let ada = certified.sshd.certified("ada", "authority", &arguments);
    let other = certified.sshd.certified("other", "authority", &arguments);
    let list = |ssh: &str| git(&work, ssh, &["ls-remote", &url]);
    list(&ada).passes();
    certified.stack.kill("service");
    list(&ada).passes();
    list(&other).fails(&["RW501"]);
    // What anybody may know of ada is not taken for a token of hers.
    let copied = certified.sshd.certificate("ada");
    let thief = work.git.with("GIT_SSH_COMMAND", &other);
    thief
        .with("REFWARDEN_TOKEN", copied.trim())
        .run(work.path(), &["ls-remote", &url])
        .fails(&["RW501"]);
}

#[test]
fn a_reader_whom_the_service_refused_is_not_remembered() {
    let stack = Stack::start();
    let sshd = Sshd::with_shell(&stack.started().repositories, &[]);
    let repository = Repository::guarded(&stack, "shell-revoked");
    let work = repository.work();
    let token = stack.token("ada");
    let git = work.git.with("GIT_SSH_COMMAND", &sshd.command());
    let git = git.with("REFWARDEN_TOKEN", &token);
    let list = || {
        git.run(
            work.path(),
            &["ls-remote", &sshd.named_url("shell-revoked")],
        )
    };
    list().passes();
    let revoked = reqwest::blocking::Client::new()
        .post(format!("{}/oauth/revoke", stack.started().service_url))
        .form(&[("token", &token)])
        .send();
    assert_eq!(revoked.unwrap().status(), 200);
    list().fails(&["RW107"]);
    stack.kill("service");
    list().fails(&["RW501"]);
}

#[test]
fn the_shell_takes_no_push_past_hooks_that_git_would_not_run() {
    let sshd = Sshd::with_shell(&stack().started().repositories, &[]);
    let repository = Repository::guarded(stack(), "shell-hookless");
    let before = repository.refs();
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let url = sshd.named_url("shell-hookless");
    let git = work.git.with("GIT_SSH_COMMAND", &sshd.command());
    let git = git.with("REFWARDEN_TOKEN", &stack().token("ada"));
    let push = || git.run(work.path(), &["push", &url, "+HEAD:refs/heads/main"]);
    let list = || git.run(work.path(), &["ls-remote", &url]);
    let hook = repository.path.join("hooks/pre-receive");
    let kept = hook.with_extension("kept");
    std::fs::rename(&hook, &kept).unwrap();
    push().fails(&["RW504", "the hook pre-receive is missing"]);
    list().passes();
    std::fs::rename(&kept, &hook).unwrap();
    let place = repository.path.display().to_string();
    stack()
        .refwarden(&["install", &place, "--uninstall"])
        .passes();
    push().fails(&["RW404", "not under guard any more"]);
    list().fails(&["RW404", "not under guard any more"]);
    assert_eq!(repository.refs(), before);
    repository.install().passes();
    list().passes();
    git.run(work.path(), &["push", &url, "HEAD:refs/heads/topic"])
        .passes();
}
