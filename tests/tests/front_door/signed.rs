//! Signed tags, signed pushes and properties of repositories, as policy asks for them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use refwarden_testkit::{Outcome, Repository, Stack, Via, run};

const POLICY: &str = r#"
version = 1

[[rule]]
id = "tags-are-signed"
refs = ["refs/tags/**"]
require = ["signed-tags"]
effect = "deny"

[[rule]]
id = "pushes-are-signed"
refs = ["refs/heads/signed/**"]
require = ["signed-push"]
signers = ["ada@example.org", "Ada <ada@example.org>"]
effect = "deny"

[[rule]]
id = "commits-are-signed"
refs = ["refs/heads/verified/**"]
require = ["signed-commits"]
signature_kinds = ["gpg"]
signers = ["Ada <ada@example.org>"]
effect = "deny"

[[rule]]
id = "production-is-closed"
refs = ["refs/heads/**"]
properties = { tier = ["prod*"] }
effect = "deny"
"#;

/// A key of that name.
fn key(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path);
    run(keygen, b"").passes();
    path
}

/// Names ada's key as the only one that counts.
fn trust(repository: &Repository<'_>, directory: &Path, ada: &Path) {
    let public = std::fs::read_to_string(ada.with_extension("pub")).unwrap();
    let signers = directory.join("signers");
    std::fs::write(&signers, format!("ada@example.org {public}")).unwrap();
    configure(repository, "allowed_signers", &signers);
}

/// Adds a path to `hook.toml`.
fn configure(repository: &Repository<'_>, name: &str, path: &Path) {
    let file = repository.git(&["config", "refwarden.hookConfig"]).text();
    let text = std::fs::read_to_string(&file).unwrap();
    let line = format!("{name} = {:?}\n", path.display().to_string());
    std::fs::write(&file, line + &text).unwrap();
}

/// Home directories of `GnuPG`, whose agents end with them.
struct Rings(tempfile::TempDir);

impl Rings {
    /// A short path: the agent's socket is below it.
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("rw-").tempdir_in("/tmp");
        Self(directory.unwrap())
    }

    fn home(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn gpg(&self, name: &str, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.home(name))
            .args(["--batch", "--quiet", "--no-tty", "--passphrase", ""])
            .args(["--pinentry-mode", "loopback"])
            .args(arguments);
        run(gpg, input).passes()
    }

    /// A ring with nothing in it.
    fn ring(&self, name: &str) {
        std::fs::create_dir(self.home(name)).unwrap();
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(self.home(name), mode).unwrap();
    }

    /// A ring with a key of that user.
    fn key(&self, name: &str, user: &str) {
        self.ring(name);
        let make = ["--quick-generate-key", user, "ed25519", "sign", "never"];
        self.gpg(name, &make, b"");
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        for home in std::fs::read_dir(self.0.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let mut end = Command::new("gpgconf");
            end.env("GNUPGHOME", home.path()).args(["--kill", "all"]);
            run(end, b"");
        }
    }
}

#[test]
fn tags_and_pushes_are_signed_by_whom_the_host_trusts() {
    let mut stack = Stack::start();
    std::fs::write(stack.directory().join("policy.toml"), POLICY).unwrap();
    stack.restart();
    let directory = tempfile::tempdir().unwrap();
    let (ada, eve) = (key(directory.path(), "ada"), key(directory.path(), "eve"));
    let repository = Repository::guarded(&stack, "signed");
    trust(&repository, directory.path(), &ada);
    let seed = ["config", "receive.certNonceSeed", "only of this test"];
    repository.git(&seed).passes();
    let work = repository.work();
    work.git(&["config", "gpg.format", "ssh"]);
    work.commit(&[(b"a", b"a\n")], "A");
    let sign_with = |key: &Path| {
        work.git(&["config", "user.signingKey", &key.display().to_string()]);
    };

    for (name, key, how, passes) in [
        ("unsigned", &ada, "-a", false),
        ("by-eve", &eve, "-s", false),
        ("by-ada", &ada, "-s", true),
    ] {
        sign_with(key);
        work.git(&["tag", how, "-m", "A tag.", name, "HEAD"]);
        let name = format!("refs/tags/{name}");
        let pushed = work.push(Via::Local, &[&name]);
        if passes {
            pushed.passes();
        } else {
            pushed.fails(&["RW203", "tags-are-signed"]);
        }
        assert_eq!(repository.value(&name).is_some(), passes, "{name}");
    }
    // Ada's signature under another text is none of hers.
    let signed = work.git(&["cat-file", "tag", "by-ada"]) + "\n";
    let altered = signed.replace("A tag.", "Another.");
    let write = ["hash-object", "-t", "tag", "-w", "--stdin"];
    let altered = work.git.feed(work.path(), &write, altered.as_bytes());
    let altered = format!("{}:refs/tags/altered", altered.passes().text());
    work.push(Via::Local, &[&altered])
        .fails(&["RW203", "tags-are-signed"]);

    let to = "HEAD:refs/heads/signed/a";
    work.push(Via::Local, &[to])
        .fails(&["RW203", "pushes-are-signed"]);
    sign_with(&eve);
    work.push(Via::Local, &["--signed", to])
        .fails(&["RW203", "pushes-are-signed"]);
    sign_with(&ada);
    work.push(Via::Local, &["--signed", to]).passes();
    assert!(repository.value("refs/heads/signed/a").is_some());

    // A certificate that was seen, told again by the environment of another push, covers
    // nothing that it does not list.
    let blobs = ["cat-file", "--batch-all-objects", "--batch-check"];
    let listed = repository.git(&blobs).text();
    let certificates = listed.lines().filter_map(|line| {
        let oid = line.split(' ').next()?;
        let text = repository.git(&["cat-file", "-p", oid]).text();
        let is_ours = text.starts_with("certificate version 0.1") && text.contains("signed/a");
        is_ours.then(|| oid.to_owned())
    });
    let mut tried = 0;
    for oid in certificates {
        tried += 1;
        let mut push = work.push_command(
            &stack.token("ada"),
            Via::Local,
            &["HEAD:refs/heads/signed/b"],
        );
        push.env("GIT_PUSH_CERT", oid)
            .env("GIT_PUSH_CERT_STATUS", "G")
            .env("GIT_PUSH_CERT_NONCE_STATUS", "OK");
        run(push, b"").fails(&["RW203", "pushes-are-signed"]);
    }
    assert!(tried > 0, "{listed}");
    assert_eq!(repository.value("refs/heads/signed/b"), None);
}

#[test]
fn gnupg_signs_commits_tags_and_pushes() {
    let mut stack = Stack::start();
    std::fs::write(stack.directory().join("policy.toml"), POLICY).unwrap();
    stack.restart();
    let rings = Rings::new();
    rings.key("ada", "Ada <ada@example.org>");
    // Eve's key says the same of itself, and is in nobody's ring but hers.
    rings.key("eve", "Ada <ada@example.org>");
    rings.key("bob", "Bob <bob@example.org>");
    rings.ring("host");
    for name in ["ada", "bob"] {
        let public = rings.gpg(name, &["--export"], b"").stdout;
        rings.gpg("host", &["--import"], &public);
    }
    let repository = Repository::guarded(&stack, "gnupg");
    configure(&repository, "gpg_home", &rings.home("host"));
    let seed = ["config", "receive.certNonceSeed", "only of this test"];
    repository.git(&seed).passes();
    let work = repository.work();
    let as_user = |name: &str, arguments: &[&str]| {
        let home = rings.home(name).display().to_string();
        work.git
            .with("GNUPGHOME", &home)
            .run(work.path(), arguments)
    };
    work.git(&["config", "user.signingKey", "ada@example.org"]);
    for (name, key, refused) in [
        ("nobody", None, Some("not signed")),
        ("eve", Some("ada@example.org"), Some("unknown key")),
        (
            "bob",
            Some("bob@example.org"),
            Some("Bob <bob@example.org>"),
        ),
        ("ada", Some("ada@example.org"), None),
    ] {
        if let Some(key) = key {
            work.git(&["config", "user.signingKey", key]);
        }
        let sign = |how: &'static str| if key.is_some() { how } else { "--no-edit" };
        let commit = ["commit", "--allow-empty", "-q", "-m", name, sign("-S")];
        work.git(&["reset", "-q", "--hard", "origin/main"]);
        as_user(name, &commit).passes();
        let tag = if key.is_some() { "-s" } else { "-a" };
        as_user(name, &["tag", tag, "-m", "A tag.", name, "HEAD"]).passes();
        let refs = [
            format!("HEAD:refs/heads/verified/{name}"),
            format!("refs/tags/{name}"),
            format!("HEAD:refs/heads/signed/{name}"),
        ];
        for update in &refs {
            let is_push = update.contains("/signed/");
            let mut arguments = vec![update.as_str()];
            if is_push && key.is_some() {
                arguments.insert(0, "--signed");
            }
            let mut push = work.push_command(&stack.token("ada"), Via::Local, &arguments);
            push.env("GNUPGHOME", rings.home(name));
            let pushed = run(push, b"");
            let (_, target) = update.rsplit_once(':').unwrap_or(("", update));
            // Whose tag it is, no rule here asks.
            let why = refused.filter(|_| !(name == "bob" && update.contains("/tags/")));
            if let Some(why) = why {
                pushed.fails(&["RW203", why]);
                assert_eq!(repository.value(target), None, "{update}");
            } else {
                pushed.passes();
                assert!(repository.value(target).is_some(), "{update}");
            }
        }
    }
}

#[test]
fn a_property_of_the_repository_decides() {
    let mut stack = Stack::start();
    std::fs::write(stack.directory().join("policy.toml"), POLICY).unwrap();
    stack.restart();
    for (name, property, passes) in [
        ("open", None, true),
        ("tested", Some("tier=test"), true),
        ("produced", Some("tier=production"), false),
    ] {
        let repository = Repository::guarded(&stack, name);
        if let Some(property) = property {
            let set = ["config", "--add", "refwarden.property", property];
            repository.git(&set).passes();
        }
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        let pushed = work.push(Via::Local, &["HEAD:refs/heads/topic"]);
        if passes {
            pushed.passes();
        } else {
            pushed.fails(&["RW203", "production-is-closed"]);
        }
    }
    // What cannot be read is not taken for nothing.
    let repository = Repository::guarded(&stack, "unread");
    let set = ["config", "refwarden.property", "production"];
    repository.git(&set).passes();
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).fails(&[]);
}
