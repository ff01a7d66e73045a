//! Masked views through the proxy, with real git: what a masked reader gets, what a person gets,
//! and that the first follows the second.

use std::path::Path;
use std::sync::OnceLock;

use refwarden_testkit::{Git, Outcome, Repository, Stack, Via, Work, with_token, within};
use tempfile::TempDir;

use crate::shared::secret;

/// Agents read masked views, people everything, nobody reads what is barred.
const POLICY: &str = r#"
version = 1
[secrets]
effect = "allow"
[[view]]
id = "agents"
actors = ["kind:agent"]
see = "masked"
[[view]]
id = "people"
actors = ["kind:human"]
see = "whole"
[[view]]
id = "narrow"
repositories = ["narrow-*"]
exclude_repositories = ["narrow-whole"]
actors = ["kind:agent"]
see = "masked"
refs = ["refs/heads/**"]
hide = ["refs/heads/hidden*"]
[[view]]
id = "barred"
repositories = ["barred-*"]
see = "refused"
"#;

/// The Refwarden of all tests of masked views, whose policy no other test could live with.
pub fn masked_stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| with_views(""))
}

/// One of its own, with something added to `[proxy.views]`.
pub fn with_views(section: &str) -> Stack {
    let section = format!("[proxy.views]\n{section}");
    configured(|text| text.replacen("[proxy.views]\n", &section, 1), "")
}

/// One of its own, with another configuration and something added to the policy.
pub fn configured(edit: impl Fn(&str) -> String, policy: &str) -> Stack {
    let mut stack = Stack::start();
    let directory = stack.directory().to_owned();
    std::fs::write(directory.join("policy.toml"), format!("{POLICY}{policy}")).unwrap();
    let file = directory.join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let edited = edit(&text);
    std::fs::write(&file, edited).unwrap();
    stack.restart();
    stack
}

/// A clone, and the git that made it.
pub struct Clone {
    pub directory: TempDir,
    pub git: Git,
}

impl Clone {
    #[track_caller]
    pub fn new(repository: &Repository<'_>, token: &str, arguments: &[&str]) -> Self {
        let (clone, outcome) = Self::attempt(repository, token, arguments);
        outcome.passes();
        clone
    }

    pub fn attempt(
        repository: &Repository<'_>,
        token: &str,
        arguments: &[&str],
    ) -> (Self, Outcome) {
        let directory = tempfile::tempdir().unwrap();
        let git = with_token(repository.stack.git(), token, Via::Http);
        let url = repository.http_url();
        let (configuration, options) = match arguments {
            ["-c", value, rest @ ..] => (vec!["-c", *value], rest),
            rest => (Vec::new(), rest),
        };
        let all = [&configuration[..], &["clone", "-q"], options, &[&url, "."]].concat();
        let outcome = git.run(directory.path(), &all);
        (Self { directory, git }, outcome)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git.text(self.path(), arguments)
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Every object that was received, inflated and without deltas, with its name, and every ref.
    #[track_caller]
    pub fn everything(&self) -> Vec<u8> {
        let batch = ["cat-file", "--batch", "--batch-all-objects"];
        let mut all = self.git.run(self.path(), &batch).passes().stdout;
        all.extend(self.git.run(self.path(), &["show-ref"]).stdout);
        all
    }

    /// What was received holds no secret, in clear or in hexadecimal, and no name of an object of
    /// the original that the view does not have, in digits or in bytes.
    #[track_caller]
    pub fn tells_nothing(&self, original: &Repository<'_>, secrets: &[String]) {
        let all = self.everything();
        let holds = |needle: &[u8]| memchr::memmem::find(&all, needle).is_some();
        for secret in secrets {
            assert!(!holds(secret.as_bytes()), "a secret");
            assert!(!holds(hex::encode(secret).as_bytes()), "in hexadecimal");
        }
        let listed = |outcome: String| {
            let oids = outcome.lines().map(str::to_owned);
            oids.collect::<std::collections::BTreeSet<String>>()
        };
        let list = [
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname)",
        ];
        let here = listed(self.git(&list));
        let there = listed(original.git(&list).passes().text());
        let absent: Vec<&String> = there.difference(&here).collect();
        assert!(!absent.is_empty(), "nothing was masked");
        for oid in absent {
            assert!(!holds(oid.as_bytes()), "{oid}");
            assert!(!holds(&hex::decode(oid).unwrap()), "{oid} in binary");
        }
        self.git(&["fsck", "--full"]);
    }
}

/// A repository with a secret in two commits, one of them undone, a tag and a branch.
#[track_caller]
pub fn planted<'a>(stack: &'a Stack, name: &str, format: &str, seed: u64) -> Repository<'a> {
    let repository = Repository::unguarded(stack, name, format);
    let work = repository.work();
    work.commit(&[(b"src/main", b"text\n")], "Without");
    let told = format!("user = a\ntoken = {}\nend\n", secret(seed));
    let with = work.commit(&[(b"conf/app", told.as_bytes())], "With");
    let other = format!("{}\n", secret(seed + 1));
    let undone = work.commit(&[(b"other", other.as_bytes())], "Another");
    work.git(&["rm", "-q", "other"]);
    work.commit(&[], &format!("Revert\n\nThis reverts commit {undone}."));
    work.git(&[
        "tag",
        "-a",
        "-m",
        &format!("Of {}", &with[..12]),
        "v1",
        &with,
    ]);
    work.git(&["branch", "side", &with]);
    let push = ["push", "-q", "origin", "main", "side", "v1"];
    work.git.run(work.path(), &push).passes();
    repository.install().passes();
    repository
}

fn secrets(seed: u64) -> Vec<String> {
    (0..4).map(|more| secret(seed + more)).collect()
}

/// Pushes to the original, past the proxy. A token releases one push.
#[track_caller]
pub fn push(work: &Work<'_>, refs: &[&str]) {
    work.push(Via::Local, refs).passes();
}

#[test]
fn agents_get_a_history_without_secrets_and_people_the_real_one() {
    let stack = masked_stack();
    for (name, format, seed) in [("who-1", "sha1", 9000), ("who-256", "sha256", 9010)] {
        let repository = planted(stack, name, format, seed);
        let agent = stack.token("ada");
        for version in ["0", "1", "2"] {
            let protocol = format!("protocol.version={version}");
            let clone = Clone::new(&repository, &agent, &["-c", &protocol]);
            let text = clone.read("conf/app");
            let good = text.starts_with("user = a\ntoken = REFWARDEN-MASKED-github-pat-");
            assert!(good && text.ends_with("\nend\n"), "{text}");
            assert_eq!(clone.git(&["rev-list", "--count", "HEAD"]), "5");
            assert_eq!(clone.git(&["tag", "-l"]), "v1");
            clone.tells_nothing(&repository, &secrets(seed));
        }
        // What no secret touches keeps its name.
        let clone = Clone::new(&repository, &agent, &[]);
        let before = repository.value("refs/heads/main~3").unwrap();
        assert_eq!(clone.git(&["rev-parse", "HEAD~3"]), before);
        let person = stack.token_as("operator", "ada", "10m");
        let whole = Clone::new(&repository, &person, &[]);
        assert!(whole.read("conf/app").contains(&secret(seed)));
        assert_eq!(
            Some(whole.git(&["rev-parse", "HEAD"])),
            repository.value("refs/heads/main")
        );
    }
}

#[test]
fn a_fetch_sees_every_push_that_ended_before_it() {
    let stack = masked_stack();
    let repository = planted(stack, "fresh", "sha1", 9020);
    let agent = stack.token("ada");
    let clone = Clone::new(&repository, &agent, &[]);
    let work = repository.work();
    for round in 0..3 {
        let told = format!("round {round}\n{}\n", secret(9022));
        work.commit(&[(b"more", told.as_bytes())], &format!("Round {round}"));
        push(&work, &["HEAD:refs/heads/main"]);
        clone.git(&["pull", "-q", "--ff-only"]);
        assert!(clone.read("more").starts_with(&format!("round {round}\n")));
        assert!(clone.read("more").contains("REFWARDEN-MASKED-"));
    }
    // A branch and a tag come, and go.
    push(&work, &["HEAD:refs/heads/new", "HEAD:refs/tags/t"]);
    clone.git(&["fetch", "-q", "--prune", "--tags"]);
    assert_eq!(
        clone.git(&["rev-parse", "origin/new"]),
        clone.git(&["rev-parse", "origin/main"])
    );
    push(&work, &[":refs/heads/new", ":refs/tags/t"]);
    let listed = clone.git(&["ls-remote", "origin"]);
    assert!(!listed.contains("refs/heads/new"), "{listed}");
    assert!(!listed.contains("refs/tags/t"), "{listed}");
    clone.tells_nothing(&repository, &secrets(9020));
}

#[test]
fn rewritten_history_and_maintenance_are_followed() {
    let stack = masked_stack();
    let repository = planted(stack, "forced", "sha1", 9030);
    let agent = stack.token("ada");
    let clone = Clone::new(&repository, &agent, &[]);
    let gone = clone.git(&["rev-parse", "origin/main"]);
    let work = repository.work();
    work.git(&["reset", "-q", "--hard", "HEAD~3"]);
    let told = format!("{}\n", secret(9031));
    work.commit(&[(b"elsewhere", told.as_bytes())], "Instead");
    push(&work, &["--force", "HEAD:refs/heads/main"]);
    clone.git(&["fetch", "-q"]);
    assert_ne!(clone.git(&["rev-parse", "origin/main"]), gone);
    assert_eq!(
        clone.git(&["log", "-1", "--format=%s", "origin/main"]),
        "Instead"
    );
    // What no ref reaches any more is not there for anybody.
    let (_, refused) = wanted(&repository, &agent, &gone);
    refused.fails(&["not our ref"]);
    for maintenance in [
        &["repack", "-a", "-d", "-q"][..],
        &["gc", "-q", "--prune=now"],
        &["pack-refs", "--all"],
    ] {
        repository.git(maintenance).passes();
        let again = Clone::new(&repository, &agent, &[]);
        assert_eq!(
            again.git(&["rev-parse", "HEAD"]),
            clone.git(&["rev-parse", "origin/main"])
        );
        again.tells_nothing(&repository, &secrets(9030));
    }
}

/// Asks for one object by its name.
#[track_caller]
fn wanted(repository: &Repository<'_>, token: &str, oid: &str) -> (Clone, Outcome) {
    let directory = tempfile::tempdir().unwrap();
    let git = with_token(repository.stack.git(), token, Via::Http);
    let format = format!("--object-format={}", repository.format);
    git.run(directory.path(), &["init", "-q", &format]).passes();
    let url = repository.http_url();
    let outcome = git.run(directory.path(), &["fetch", "-q", &url, oid]);
    (Clone { directory, git }, outcome)
}

#[test]
fn shallow_partial_and_narrow_clones_work() {
    let stack = masked_stack();
    let repository = planted(stack, "partly", "sha1", 9040);
    let agent = stack.token("ada");
    let count = |clone: &Clone| clone.git(&["rev-list", "--count", "HEAD"]);
    let shallow = Clone::new(&repository, &agent, &["--depth=2"]);
    assert_eq!(count(&shallow), "2");
    shallow.git(&["fetch", "-q", "--deepen=1"]);
    assert_eq!(count(&shallow), "3");
    shallow.git(&["fetch", "-q", "--unshallow"]);
    assert_eq!(count(&shallow), "5");
    shallow.tells_nothing(&repository, &secrets(9040));
    for version in ["0", "2"] {
        let protocol = format!("protocol.version={version}");
        for filter in ["blob:none", "tree:0", "blob:limit=1", "object:type=commit"] {
            let filter = format!("--filter={filter}");
            let arguments = ["-c", &protocol, "--no-checkout", &filter];
            let partial = Clone::new(&repository, &agent, &arguments);
            partial.git(&["config", "protocol.version", version]);
            // Each is fetched by its name when it is needed.
            partial.git(&["checkout", "-q", "main"]);
            assert!(partial.read("conf/app").contains("REFWARDEN-MASKED-"));
        }
    }
    let single = Clone::new(&repository, &agent, &["--single-branch", "-b", "side"]);
    assert_eq!(single.git(&["branch", "-r"]).trim(), "origin/side");
    let mirror = Clone::new(&repository, &agent, &["--mirror"]);
    let listed = mirror.git(&["ls-remote", "origin"]);
    for name in [
        "HEAD",
        "refs/heads/main",
        "refs/heads/side",
        "refs/tags/v1^{}",
    ] {
        let is_listed = listed
            .lines()
            .any(|line| line.ends_with(&format!("\t{name}")));
        assert!(is_listed, "{name}: {listed}");
    }
}

#[test]
fn an_empty_repository_is_served_and_grows() {
    let stack = masked_stack();
    let repository = Repository::empty(stack, "empty-masked", "sha1");
    repository.install().passes();
    let agent = stack.token("ada");
    let clone = Clone::new(&repository, &agent, &[]);
    assert_eq!(clone.git(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    let work = repository.work();
    let told = format!("{}\n", secret(9050));
    work.commit(&[(b"a", told.as_bytes())], "First");
    push(&work, &["HEAD:refs/heads/main"]);
    clone.git(&["pull", "-q"]);
    assert!(clone.read("a").contains("REFWARDEN-MASKED-"));
    clone.tells_nothing(&repository, &secrets(9050));
}

#[test]
fn two_views_of_one_repository_stand_beside_each_other() {
    let stack = masked_stack();
    let narrow = planted(stack, "narrow-one", "sha1", 9060);
    let work = narrow.work();
    let person = stack.token_as("operator", "ada", "10m");
    let hidden = work.commit(&[(b"hidden", b"hidden\n")], "Hidden");
    push(&work, &["HEAD:refs/heads/hidden-one"]);
    work.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let message = format!("Picked\n\n(cherry picked from commit {hidden})");
    work.commit(&[(b"picked", b"picked\n")], &message);
    push(&work, &["HEAD:refs/heads/main"]);
    let agent = stack.token("ada");
    let clone = Clone::new(&narrow, &agent, &["--mirror"]);
    let listed = clone.git(&["ls-remote", "origin"]);
    assert!(listed.contains("refs/heads/side"), "{listed}");
    assert!(
        !listed.contains("hidden") && !listed.contains("refs/tags/"),
        "{listed}"
    );
    // Not by its name either, nor told by a message.
    let all = clone.everything();
    assert!(memchr::memmem::find(&all, hidden.as_bytes()).is_none());
    wanted(&narrow, &agent, &hidden).1.fails(&["not our ref"]);
    clone.tells_nothing(&narrow, &secrets(9060));
    // A person reads the same repository at the same time.
    let whole = Clone::new(&narrow, &person, &["--mirror"]);
    assert!(
        whole
            .git(&["ls-remote", "origin"])
            .contains("refs/heads/hidden-one")
    );
    let barred = planted(stack, "barred-one", "sha1", 9070);
    for token in [&agent, &person] {
        let (_, refused) = Clone::attempt(&barred, token, &[]);
        refused.fails(&["RW206"]);
        let work = barred.work();
        work.push_with(token, Via::Http, &["HEAD:refs/heads/x"])
            .fails(&["RW206"]);
    }
}

#[test]
fn the_cache_may_go_at_any_time() {
    let stack = masked_stack();
    let repository = planted(stack, "cacheless", "sha1", 9090);
    let agent = stack.token("ada");
    let clone = Clone::new(&repository, &agent, &[]);
    let head = clone.git(&["rev-parse", "HEAD"]);
    let place = place_of(stack, &repository);
    for _ in 0..3 {
        std::fs::remove_dir_all(&place).unwrap();
        let again = Clone::new(&repository, &agent, &[]);
        assert_eq!(again.git(&["rev-parse", "HEAD"]), head);
    }
    // Between the advertisement and the exchange, too.
    let client = reqwest::blocking::Client::builder()
        .no_proxy()
        .build()
        .unwrap();
    std::fs::remove_dir_all(&place).unwrap();
    let body = format!("0032want {head}\n00000009done\n");
    let answer = client
        .post(format!("{}/git-upload-pack", repository.http_url()))
        .basic_auth("x", Some(&agent))
        .header("content-type", "application/x-git-upload-pack-request")
        .body(body)
        .send()
        .unwrap();
    assert_eq!(answer.status(), 200);
    let bytes = answer.bytes().unwrap();
    assert!(memchr::memmem::find(&bytes, b"PACK").is_some());
}

/// The directory of a repository's views in the cache.
#[track_caller]
pub fn place_of(stack: &Stack, repository: &Repository<'_>) -> std::path::PathBuf {
    let cache = stack.directory().join("views");
    let listed = stack.refwarden(&[
        "view",
        "list",
        "--json",
        "--cache",
        &cache.display().to_string(),
    ]);
    let text = listed.passes().text();
    let path = repository.path.canonicalize().unwrap();
    let mut views = text
        .lines()
        .map(|line| -> serde_json::Value { serde_json::from_str(line).unwrap() });
    let view = views
        .find(|view| view["repository"].as_str() == path.to_str())
        .unwrap_or_else(|| panic!("no view of {}: {text}", path.display()));
    let shadow = Path::new(view["shadow"].as_str().unwrap());
    shadow.ancestors().nth(4).unwrap().to_owned()
}

#[test]
fn a_build_that_is_killed_is_made_good_by_the_next_fetch() {
    let stack = with_views("");
    let repository = planted(&stack, "killed-view", "sha1", 9100);
    let work = repository.work();
    for number in 0..200 {
        let names: Vec<String> = (0..10).map(|at| format!("d{at}/f{number}")).collect();
        let text = format!("{number}\n");
        let files: Vec<(&[u8], &[u8])> = names
            .iter()
            .map(|it| (it.as_bytes(), text.as_bytes()))
            .collect();
        work.commit(&files, "More");
    }
    push(&work, &["HEAD:refs/heads/main"]);
    let agent = stack.token("ada");
    let mut command = with_token(stack.git(), &agent, Via::Http).command(work.path());
    command.args(["ls-remote", &repository.http_url()]);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut asking = command.spawn().unwrap();
    let path = repository.path.display().to_string();
    let mut killed = false;
    within(
        "a build is killed or ends",
        std::time::Duration::from_mins(1),
        || {
            for pid in children(stack.pid("proxy")) {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                if line.contains("refresh") && line.contains(&path) {
                    let pid = rustix::process::Pid::from_raw(pid).unwrap();
                    killed |=
                        rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
                }
            }
            killed || asking.try_wait().unwrap().is_some()
        },
    );
    asking.wait().unwrap();
    assert!(killed, "the build was too quick");
    let clone = Clone::new(&repository, &agent, &[]);
    assert_eq!(clone.git(&["rev-list", "--count", "HEAD"]), "205");
    clone.tells_nothing(&repository, &secrets(9100));
}

/// The processes that a process started.
fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let all: String = lists.collect();
    all.split_whitespace()
        .filter_map(|it| it.parse().ok())
        .collect()
}

#[test]
fn who_does_not_wait_is_told_to_come_back() {
    let stack = with_views("wait_seconds = 0\n");
    let repository = planted(&stack, "impatient", "sha1", 9110);
    let agent = stack.token("ada");
    let git = with_token(stack.git(), &agent, Via::Http);
    let url = repository.http_url();
    let list = || git.run(&repository.path, &["ls-remote", &url]);
    list().fails(&["RW506", "try again"]);
    within(
        "the view is there",
        std::time::Duration::from_mins(1),
        || list().ok(),
    );
}

#[test]
fn a_view_masks_what_its_rules_find_and_one_without_its_rules_is_not_served() {
    let narrowed = |rules: &str| {
        let masked = "actors = [\"kind:agent\"]\nsee = \"masked\"\n";
        let narrow = format!("{masked}rules = [{rules}]\n");
        let policy = POLICY.replacen(masked, &narrow, 1);
        assert_ne!(policy, POLICY);
        policy
    };
    let mut stack = configured(str::to_owned, "");
    let set = |stack: &mut Stack, rules: &str| {
        let file = stack.directory().join("policy.toml");
        std::fs::write(file, narrowed(rules)).unwrap();
        stack.restart();
    };
    let template = "-----BEGIN {word:RSA} PRIVATE KEY-----{nl}{pem:400}{nl}-----END {word:RSA} PRIVATE KEY-----";
    let key = refwarden_scan::example::expand(template, 9031);
    let key = String::from_utf8(key).unwrap();
    {
        let repository = planted(&stack, "by-rules", "sha1", 9030);
        let work = repository.work();
        work.commit(&[(b"key", format!("{key}\n").as_bytes())], "A key");
        push(&work, &["HEAD:refs/heads/main"]);
        // All rules, unless the policy names some.
        let clone = Clone::new(&repository, &stack.token("ada"), &[]);
        assert!(clone.read("key").contains("REFWARDEN-MASKED-private-key-"));
    }
    set(&mut stack, "\"github-*\"");
    {
        let repository = Repository::named(&stack, "by-rules");
        let clone = Clone::new(&repository, &stack.token("ada"), &[]);
        assert!(
            clone
                .read("conf/app")
                .contains("REFWARDEN-MASKED-github-pat-")
        );
        assert!(clone.read("key").contains(&key));
        // What is pushed is translated by the same rules.
        let shown = clone.read("conf/app");
        let mine = crate::unmasked::write(&clone, "conf/app", &format!("{shown}more\n"), "More");
        clone.git(&["push", "-q", "origin", "HEAD:refs/heads/topic"]);
        let original = repository.git(&["show", "refs/heads/topic:conf/app"]);
        assert!(original.text().contains(&secret(9030)));
        let again = Clone::new(&repository, &stack.token("ada"), &[]);
        assert_eq!(again.git(&["rev-parse", "origin/topic"]), mine);
    }
    // Nobody knows what a rule that is not here would have masked.
    set(&mut stack, "\"github-*\", \"acme-*\"");
    let repository = Repository::named(&stack, "by-rules");
    let (_, outcome) = Clone::attempt(&repository, &stack.token("ada"), &[]);
    outcome.fails(&["RW506"]);
}
