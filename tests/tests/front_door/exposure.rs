//! Who was sent a secret, asked of the record: `refwarden audit exposure`, over every kind of clone,
//! before and after it was taken out of the history, through masked views, and for secrets that
//! only a later rule or a later scan finds.

use refwarden_testkit::{Git, Repository, Stack, Via, with_token};
use refwarden_wire::exposure::{ExposureOut, Holding};
use tempfile::TempDir;

use crate::fetches::{psql, recorded};
use crate::masked::{self, Clone, masked_stack};
use crate::shared::{secret, stack};

/// What the command says, as JSON.
#[track_caller]
fn exposure(stack: &Stack, arguments: &[&str]) -> ExposureOut {
    let all = [&["audit", "exposure", "--json"], arguments].concat();
    let said = stack.refwarden(&all);
    assert!(matches!(said.code, Some(0 | 1)), "{said}");
    serde_json::from_str(&said.text()).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The fingerprint of what a repository's pushes were found to hold last.
#[track_caller]
fn fingerprint(repository: &Repository<'_>) -> String {
    let name = &repository.name;
    psql(
        repository.stack,
        &format!(
            "SELECT fingerprint FROM findings JOIN pushes ON id = push_id \
             JOIN repositories AS r ON r.id = repository_id WHERE r.name = '{name}' \
             ORDER BY received_at DESC, ordinal LIMIT 1"
        ),
    )
}

/// Grace clones. Each clone says that it is another program, so that the record tells them apart.
fn fetch(repository: &Repository<'_>, program: &str, arguments: &[&str]) -> (Git, TempDir) {
    let token = repository.stack.token_as("operator", "grace", "10m");
    let git = with_token(repository.stack.git(), &token, Via::Http);
    let git = git.with("GIT_HTTP_USER_AGENT", program);
    let directory = tempfile::tempdir().unwrap();
    let url = repository.http_url();
    let all = [&["clone", "-q", "--bare"], arguments, &[&url, "."]].concat();
    git.run(directory.path(), &all).passes();
    (git, directory)
}

fn readers(out: &ExposureOut) -> Vec<&str> {
    let agents = out.fetches.iter().map(|fetch| fetch.agent.as_deref());
    agents.map(Option::unwrap).collect()
}

#[test]
fn exactly_those_are_named_who_were_sent_the_secret() {
    let stack = masked_stack();
    let repository = Repository::guarded(stack, "exposed");
    crate::fetches::lets_partial_clones(&repository);
    let work = repository.work();
    // Before it came.
    fetch(&repository, "before", &[]);
    let told = format!("user = a\ntoken = {}\n", secret(9800));
    let with = work.commit(&[(b"conf/app", told.as_bytes())], "With");
    masked::push(&work, &["HEAD:refs/heads/main"]);
    let blob = work.git(&["rev-parse", "HEAD:conf/app"]);
    let fingerprint = fingerprint(&repository);
    // With it: a full clone, and a partial one that asks for it by name.
    fetch(&repository, "full", &[]);
    let (git, partial) = fetch(&repository, "partial", &["--filter=blob:none"]);
    recorded(&repository, 3);
    assert_eq!(readers(&exposure(stack, &[&fingerprint])), ["full"]);
    git.run(partial.path(), &["cat-file", "blob", &blob])
        .passes();
    // An agent reads a masked view.
    let token = stack.token("ada");
    Clone::new(&repository, &token, &[]);
    recorded(&repository, 5);
    // Taken out in the newest state, so that a shallow clone has it not; a deepened one has.
    work.git(&["rm", "-q", "conf/app"]);
    work.commit(&[(b"other", b"other\n")], "Without");
    masked::push(&work, &["HEAD:refs/heads/main"]);
    let (git, shallow) = fetch(&repository, "shallow", &["--depth=1"]);
    recorded(&repository, 6);
    let out = exposure(stack, &[&fingerprint]);
    assert_eq!(readers(&out), ["full", "partial"]);
    git.run(
        shallow.path(),
        &["fetch", "-q", "--unshallow", "origin", "main"],
    )
    .passes();
    recorded(&repository, 7);
    // Taken out of the history: who clones now has it not.
    work.git(&["reset", "-q", "--hard", &format!("{with}~1")]);
    work.commit(&[(b"other", b"other\n")], "Without");
    masked::push(&work, &["--force", "HEAD:refs/heads/main"]);
    repository
        .git(&["reflog", "expire", "--expire=now", "--all"])
        .passes();
    repository.git(&["gc", "-q", "--prune=now"]).passes();
    fetch(&repository, "after", &[]);
    recorded(&repository, 8);

    let out = exposure(stack, &[&fingerprint]);
    assert_eq!(readers(&out), ["full", "partial", "shallow"], "{out:#?}");
    for fetch in &out.fetches {
        assert_eq!(fetch.reader, "grace");
        assert_eq!(fetch.address.as_deref(), Some("127.0.0.1"));
        assert_eq!(fetch.objects, std::slice::from_ref(&blob));
        assert_eq!(fetch.certainty.as_deref(), Some("exact"));
        assert_eq!((fetch.repository.as_str(), &fetch.view), ("exposed", &None));
        assert!(fetch.actor_chain.is_some() && fetch.token_sha256.is_some());
    }
    assert_eq!(out.objects.len(), 1);
    assert_eq!(out.objects[0].path.as_deref(), Some("conf/app"));
    assert_eq!(out.objects[0].commit.as_ref(), Some(&with));
    assert_eq!(out.pushes.len(), 1);
    assert_eq!(out.pushes[0].pusher, "agent for ada");
    assert_eq!(
        (
            out.pushes[0].state.as_str(),
            out.pushes[0].transport.as_str()
        ),
        ("granted", "local")
    );
    // The masked reader had a placeholder, by rules that know the secret.
    assert_eq!(out.masked.len(), 1, "{out:#?}");
    assert_eq!(out.masked[0].readers, ["agent for ada"]);
    assert!(out.masked[0].knew && out.masked[0].fetches == 1);
    assert!(out.unknown.is_empty() && !out.cut);

    // By the rule, which has found other secrets in other repositories, too.
    let rule = &out.objects[0].rule;
    let by_rule = exposure(stack, &["--rule", rule, "--repository", "exposed"]);
    assert_eq!(readers(&by_rule), ["full", "partial", "shallow"]);
    // For people.
    let said = stack.refwarden(&["audit", "exposure", &fingerprint]);
    assert_eq!(said.code, Some(1));
    said.says(&[
        "grace",
        "127.0.0.1",
        "conf/app",
        "agent for ada",
        "fetch",
        "push",
    ]);
    // Nobody, and nothing that is one.
    let nobody = "0".repeat(64);
    stack
        .refwarden(&["audit", "exposure", &nobody])
        .passes()
        .says(&["No push"]);
    stack
        .refwarden(&["audit", "exposure", "x"])
        .fails(&["64 hexadecimal digits"]);
    stack.refwarden(&["audit", "exposure"]).fails(&["--rule"]);
    // Asking is on record.
    let asked = format!("SELECT count(*) > 0 FROM readings WHERE what LIKE '%{fingerprint}%'");
    assert_eq!(psql(stack, &asked), "t");
}

#[test]
fn a_secret_in_a_file_s_name_is_found_by_the_folders_that_have_it() {
    let stack = masked_stack();
    let repository = Repository::guarded(stack, "exposed-name");
    let work = repository.work();
    fetch(&repository, "before", &[]);
    let name = format!("keys/{}.txt", secret(9820));
    work.commit(&[(name.as_bytes(), b"x\n")], "With");
    masked::push(&work, &["HEAD:refs/heads/main"]);
    let fingerprint = fingerprint(&repository);
    fetch(&repository, "with", &[]);
    // Another folder by its id, with the same name in it; of the first nothing is sent.
    work.commit(&[(b"keys/other", b"y\n")], "Beside");
    masked::push(&work, &["HEAD:refs/heads/main"]);
    fetch(&repository, "beside", &["--depth=1"]);
    work.git(&["rm", "-q", &name]);
    work.commit(&[], "Without");
    masked::push(&work, &["HEAD:refs/heads/main"]);
    fetch(&repository, "without", &["--depth=1"]);
    recorded(&repository, 4);
    let out = exposure(stack, &[&fingerprint]);
    assert_eq!(readers(&out), ["with", "beside"], "{out:#?}");
    let is_folder = |it: &Holding| it.place == "path" && it.oid.is_some();
    assert!(out.objects.iter().all(is_folder), "{out:#?}");
    let folders: Vec<String> = ["HEAD~1:keys", "HEAD~2:keys"]
        .map(|it| work.git(&["rev-parse", it]))
        .to_vec();
    let held: Vec<&String> = out.fetches.iter().flat_map(|it| &it.objects).collect();
    assert!(folders.iter().all(|it| held.contains(&it)), "{out:#?}");
}

#[test]
fn only_auditors_ask() {
    let path = format!("/exposure?fingerprint={}", "0".repeat(64));
    for person in ["ada", "grace"] {
        assert_eq!(stack().api(person).get(&path).status().as_u16(), 403);
    }
    let agent =
        refwarden_testkit::Api::new(&stack().started().service_url, &stack().token("audrey"));
    assert_eq!(agent.get(&path).status().as_u16(), 403);
    let api = stack().api("audrey");
    assert_eq!(api.get(&path).status().as_u16(), 200);
    for bad in [
        "/exposure",
        "/exposure?fingerprint=x",
        "/exposure?rule=",
        "/exposure?rule=a&fingerprint=b",
        "/exposure?x=y",
    ] {
        assert_eq!(api.get(bad).status().as_u16(), 400, "{bad}");
    }
}

#[test]
fn a_secret_from_before_the_guard_is_found_by_a_scan_of_the_history() {
    let repository = Repository::unguarded(stack(), "known-later", "sha1");
    let work = repository.work();
    let told = format!("token = {}\n", secret(9810));
    work.commit(&[(b"old/conf", told.as_bytes())], "With");
    let message = format!("Use {} for now", secret(9811));
    let commit = work.commit(&[(b"a", b"a\n")], &message);
    work.git
        .run(
            work.path(),
            &["push", "-q", "origin", "HEAD:refs/heads/main"],
        )
        .passes();
    repository.install().passes();
    fetch(&repository, "full", &[]);
    fetch(&repository, "shallow", &["--depth=1"]);
    recorded(&repository, 2);
    // No push was found to hold it.
    let none = exposure(
        stack(),
        &["--rule", "github-pat", "--repository", "known-later"],
    );
    assert!(none.fetches.is_empty() && none.objects.is_empty());
    let path = repository.path.display().to_string();
    let out = exposure(stack(), &["--rule", "github-pat", "--rescan", &path]);
    assert_eq!(readers(&out), ["full", "shallow"], "{out:#?}");
    let paths: Vec<_> = out.objects.iter().map(|it| it.path.as_deref()).collect();
    assert!(paths.contains(&Some("old/conf")), "{paths:?}");
    assert!(
        out.objects
            .iter()
            .any(|it| it.oid.as_ref() == Some(&commit))
    );
    // One of them, by the fingerprint that the host's key gives it.
    let in_file = out.objects.iter().find(|it| it.place == "blob").unwrap();
    let one = exposure(stack(), &[&in_file.fingerprint, "--rescan", &path]);
    assert_eq!(one.objects.len(), 1);
    assert_eq!(readers(&one), ["full", "shallow"]);
}
