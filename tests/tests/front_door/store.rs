//! Packs in an S3-compatible store: a real server that checks signatures and knows no more rights than
//! to put, get and delete. Whatever it does, a push passes with its pack stored and is refused in
//! time without.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use refwarden_testkit::{Repository, S3, Stack, Via, planted, program, run, until, within};
use tempfile::TempDir;

use crate::shared::{approve, replay, request_of};

/// The most that a refusal may take.
const PATIENCE: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(30);

/// A server, a stack that keeps packs in it, and where the stack has its access key from.
struct Kept {
    stack: Stack,
    server: S3,
    key: TempDir,
}

impl Kept {
    /// Starts both; each seed has an access key of its own.
    #[track_caller]
    fn start(seed: u64) -> Self {
        let mut kept = Self::beside(Stack::start(), seed);
        kept.configure("s3://packs/of/tests");
        kept
    }

    /// A server beside a stack that does not know of it yet.
    #[track_caller]
    fn beside(stack: Stack, seed: u64) -> Self {
        let id = format!("{}{seed:016}", ["AK", "IA"].concat());
        let secret = planted::plant("{base62:40}", seed);
        let key = tempfile::tempdir().unwrap();
        let kept = Self {
            server: S3::start(&id, &secret),
            stack,
            key,
        };
        kept.write_key(&id, &secret);
        kept
    }

    fn write_key(&self, id: &str, secret: &str) {
        std::fs::write(self.key_file(), format!("{id}\n{secret}\n")).unwrap();
    }

    fn key_file(&self) -> PathBuf {
        self.key.path().join("access.key")
    }

    fn config(&self) -> PathBuf {
        self.stack.directory().join("refwarden.toml")
    }

    /// What stands in `[packs]` for a store, besides `store`.
    fn settings(&self) -> String {
        let (url, key) = (self.server.url(), self.key_file());
        format!(
            "endpoint = \"{url}\"\naccess_key_file = '{}'\n",
            key.display()
        )
    }

    /// The configuration with other lines in `[packs]`.
    fn configured(&self, lines: &str) -> String {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let (before, rest) = text.split_once("[packs]\n").unwrap();
        let recipients = rest.find("recipients = ").unwrap();
        format!("{before}[packs]\n{lines}{}", &rest[recipients..])
    }

    /// Names the store, and starts everything again.
    #[track_caller]
    fn configure(&mut self, store: &str) {
        let lines = format!("store = \"{store}\"\n{}", self.settings());
        let text = self.configured(&lines);
        std::fs::write(self.config(), text).unwrap();
        self.stack.restart();
    }

    /// What the records say is in the store: SHA-256 by key.
    #[track_caller]
    fn recorded(&self) -> BTreeMap<String, String> {
        let rows = psql(
            &self.stack,
            "SELECT substr(location, 4), sealed_digest FROM pack_copies AS copies \
             WHERE location LIKE 's3:%' AND NOT EXISTS (SELECT FROM pack_drops AS drops \
             WHERE drops.digest = copies.digest AND drops.copy = copies.copy)",
        );
        let rows = rows.lines().map(|row| row.split_once('|').unwrap());
        rows.map(|(name, digest)| (format!("of/tests/{name}"), digest.to_owned()))
            .collect()
    }

    /// What the server has, but for what it is tried with.
    #[track_caller]
    fn stored(&self) -> BTreeMap<String, String> {
        let mut stored = self.server.objects();
        stored.remove("of/tests/tried");
        stored
    }

    fn notes(&self) -> Vec<PathBuf> {
        let directory = self.stack.directory().join("packs/outgoing");
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[track_caller]
    fn ready(&self) -> (u16, String) {
        let begun = Instant::now();
        let client = reqwest::blocking::Client::builder().no_proxy();
        let client = client.timeout(DEADLINE).build().unwrap();
        let url = format!("{}/readyz", self.stack.started().service_url);
        let answer = client.get(url).send().unwrap();
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        (answer.status().as_u16(), answer.text().unwrap())
    }
}

/// A push is refused in time and plain words, nothing moves, reads go on.
#[track_caller]
fn refuses(repository: &Repository<'_>, what: &str) {
    let work = repository.work();
    work.commit(&[(b"away", what.as_bytes())], what);
    for via in [Via::Local, Via::Http] {
        let refused = work.push(via, &["HEAD:refs/heads/away"]).fails(&["RW503"]);
        assert!(refused.took < PATIENCE, "{what}: {refused}");
        let said = refused.said();
        for word in ["panicked", "object_store", "reqwest", "Error {", "<html>"] {
            assert!(!said.contains(word), "{what}: {word}: {refused}");
        }
    }
    assert_eq!(repository.value("refs/heads/away"), None, "{what}");
    let url = repository.url(Via::Local);
    work.git
        .run(work.path(), &["fetch", "-q", &url, "refs/heads/main"])
        .passes();
}

/// A push passes.
#[track_caller]
fn takes(repository: &Repository<'_>, what: &str) {
    let work = repository.work();
    let new = work.commit(&[(b"here", what.as_bytes())], what);
    let to = format!("refs/heads/after-{what}");
    work.push(Via::Local, &[&format!("HEAD:{to}")]).passes();
    assert_eq!(repository.value(&to), Some(new));
}

/// Runs SQL as the superuser, past every trigger.
#[track_caller]
fn psql(stack: &Stack, statements: &str) -> String {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-t", "-A", "-1", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(format!(
            "SET session_replication_role = replica; {statements}"
        ))
        .arg(&stack.started().database_url);
    run(command, b"").passes().text()
}

/// Bytes that nothing makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

#[test]
fn packs_go_to_the_store_sealed_and_come_back_bit_for_bit() {
    let stack = Stack::start();
    {
        // Whose first packs are in the directory, and stay there.
        let repository = Repository::guarded(&stack, "moved");
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        work.push(Via::Local, &["HEAD:refs/heads/before"]).passes();
    }
    let mut kept = Kept::beside(stack, 8101);
    kept.configure("s3://packs/of/tests");
    assert!(kept.stored().is_empty());
    let repository = Repository::named(&kept.stack, "moved");
    let work = repository.work();
    let new = work.commit(&[(b"b", b"b\n")], "B");
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    approve(&kept.stack, &request_of(&refused));
    work.push(Via::Local, &["HEAD:refs/heads/main"]).passes();
    assert_eq!(repository.value("refs/heads/main"), Some(new));
    // In parts, the last of which is short.
    work.commit(&[(b"noise", &noise(20 << 20))], "Noise");
    work.push(Via::Http, &["HEAD:refs/heads/noise"]).passes();
    // A server that does not know the condition under which packs are put.
    kept.server.misbehave("plain");
    takes(&repository, "plain");
    kept.server.misbehave("");

    let recorded = kept.recorded();
    assert!(recorded.len() >= 3, "{recorded:?}");
    within("nothing else is in the store", DEADLINE, || {
        kept.stored() == recorded && kept.notes().is_empty()
    });
    replay(&repository).passes();
    let digest = psql(
        &kept.stack,
        "SELECT digest FROM pack_copies WHERE location LIKE 's3:%' ORDER BY stored_bytes DESC LIMIT 1",
    );
    let served = kept.stack.api("audrey").get(&format!("/packs/{digest}"));
    assert_eq!(served.headers()["content-type"], "application/age");
    assert!(served.bytes().unwrap().len() > 20 << 20);
    // What is not attested yet is not part of it.
    let bundle = kept.key.path().join("bundle.tar");
    let shown = bundle.display().to_string();
    let of = ["--repository", "moved", "--since", "1d", "--out", &shown];
    within("a bundle has it too", DEADLINE, || {
        let _ = std::fs::remove_file(&bundle);
        let asked = [&["audit", "bundle"], &of[..]].concat();
        kept.stack.refwarden(&asked).passes();
        std::fs::metadata(&bundle).unwrap().len() > 20 << 20
    });
    assert_eq!(kept.ready().0, 200);
    assert!(kept.stack.logs().contains("s3://packs/of/tests"));
}

#[test]
fn whatever_the_store_does_pushes_are_refused_in_time_and_pass_again_after() {
    let mut kept = Kept::start(8102);
    let stack = &kept.stack;
    let repository = Repository::guarded(stack, "away");
    for mode in ["cut", "full", "lose", "garble", "garbage"] {
        kept.server.misbehave(mode);
        refuses(&repository, mode);
        kept.server.misbehave("");
        takes(&repository, mode);
    }
    kept.server.stop();
    within("it is not ready", DEADLINE, || kept.ready().0 == 503);
    refuses(&repository, "stopped");
    kept.server.go_on();
    takes(&repository, "stopped");
    within("it is ready", DEADLINE, || kept.ready().0 == 200);
    let recorded = kept.recorded();
    let stored = kept.stored();
    for (key, digest) in &recorded {
        assert_eq!(stored.get(key), Some(digest), "{key}");
    }
    // What may be in the store beyond that has a note each, by which it is deleted.
    let noted = kept.notes();
    for key in stored.keys().filter(|key| !recorded.contains_key(*key)) {
        let has_note = |note: &PathBuf| key.ends_with(note.file_name().unwrap().to_str().unwrap());
        assert!(noted.iter().any(has_note), "{key}: {noted:?}");
    }
    replay(&repository).passes();
    let name = repository.name.clone();
    drop(repository);
    kept.server.kill();
    let repository = Repository::named(&kept.stack, &name);
    refuses(&repository, "killed");
    drop(repository);
    kept.server.again();
    let repository = Repository::named(&kept.stack, &name);
    takes(&repository, "killed");
}

#[test]
fn refused_keys_and_missing_buckets_are_told_and_keys_never() {
    let mut kept = Kept::start(8103);
    drop(Repository::guarded(&kept.stack, "keys"));
    let (secret, other) = (
        planted::plant("{base62:40}", 8103),
        planted::plant("{base62:40}", 8104),
    );
    let id = format!("{}{:016}", ["AK", "IA"].concat(), 8103);
    let told = |kept: &Kept, what: &str, cause: &str| {
        let repository = Repository::named(&kept.stack, "keys");
        refuses(&repository, what);
        within("it is not ready", DEADLINE, || kept.ready().0 == 503);
        let (_, text) = kept.ready();
        assert!(text.contains("Packs cannot be kept"), "{what}: {text}");
        let logs = kept.stack.logs();
        assert!(logs.contains(cause), "{what}: {logs}");
        assert!(!logs.contains(&secret) && !logs.contains(&id), "{what}");
    };
    kept.server.again_with("packs", &other);
    told(&kept, "secret", "SignatureDoesNotMatch");
    kept.server.again_with("others", &secret);
    told(&kept, "bucket", "NoSuchBucket");
    kept.server.again();
    let repository = Repository::named(&kept.stack, "keys");
    takes(&repository, "keys");
    within("it is ready", DEADLINE, || kept.ready().0 == 200);
}

#[test]
fn a_store_that_is_configured_wrongly_stops_the_service_at_its_start() {
    let kept = Kept::beside(Stack::start(), 8105);
    let file = kept.stack.directory().join("other.toml");
    let service = |lines: &str| {
        std::fs::write(&file, kept.configured(lines)).unwrap();
        let mut command = Command::new(program("refwarden-service"));
        command.env_clear().arg("--config").arg(&file);
        run(command, b"")
    };
    let store = "store = \"s3://packs\"\n";
    for (lines, words) in [
        (
            "store = \"packs\"\n".to_owned(),
            &["expected s3://bucket"][..],
        ),
        (
            "region = \"here\"\n".to_owned(),
            &["other.toml:", "packs.region", "without packs.store"],
        ),
        (
            format!("{store}endpoint = \"http://s3.example.com\"\n"),
            &["other.toml:", "expected https"],
        ),
        (
            format!("{store}secret_access_key = \"x\"\n"),
            &["other.toml:", "unknown field"],
        ),
        (store.to_owned(), &["there is no access key"]),
        (
            format!("{store}access_key_file = \"nowhere.key\"\n"),
            &["packs.access_key_file", "nowhere.key"],
        ),
        (
            format!("{store}access_key_file = \"policy.toml\"\n"),
            &["packs.access_key_file", "expected the key's id"],
        ),
    ] {
        let refused = service(&lines).fails(words);
        assert_eq!(refused.code, Some(2), "{lines}: {refused}");
    }
    // In the clear nothing leaves this machine.
    let text = kept.configured(store);
    let lines = text.lines().filter(|it| !it.starts_with("recipients = "));
    let clear: Vec<&str> = lines.collect();
    std::fs::write(&file, clear.join("\n")).unwrap();
    let mut command = Command::new(program("refwarden-service"));
    command.env_clear().arg("--config").arg(&file);
    run(command, b"").fails(&["only sealed"]);
}

/// Holds the table in which packs are recorded, until it is killed.
#[track_caller]
fn hold(stack: &Stack) -> Child {
    let mut command = Command::new("psql");
    let statements = "BEGIN; LOCK TABLE packs IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(300)";
    let child = command
        .args(["-X", "-q", "-c", statements])
        .arg(&stack.started().database_url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'packs'::regclass AND granted \
                AND mode = 'AccessExclusiveLock'";
    within("the table is held", DEADLINE, || psql(stack, held) == "1");
    child
}

#[test]
fn what_a_killed_service_put_and_never_recorded_is_deleted() {
    let mut kept = Kept::start(8106);
    {
        let repository = Repository::guarded(&kept.stack, "killed");
        takes(&repository, "first");
        let before = kept.stored();
        let mut holder = hold(&kept.stack);
        let work = repository.work();
        work.commit(&[(b"lost", b"lost\n")], "Lost");
        let token = kept.stack.token("ada");
        let mut command = work.push_command(&token, Via::Local, &["HEAD:refs/heads/lost"]);
        let mut push = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        within("the pack is in the store", DEADLINE, || {
            kept.stored().len() > before.len()
        });
        kept.stack.kill("service");
        assert!(!push.wait().unwrap().success());
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(repository.value("refs/heads/lost"), None);
    }
    kept.stack.restart();
    // It is young: somebody might record it still.
    let recorded = kept.recorded();
    assert_eq!(kept.notes().len(), 1);
    assert_eq!(kept.stored().len(), recorded.len() + 1);
    let long_ago = SystemTime::now() - Duration::from_hours(48);
    for note in kept.notes() {
        let file = std::fs::File::options().write(true).open(note).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    // One that was recorded, whose note came back with a disk that had lost a little.
    let (name, _) = recorded.iter().next().unwrap();
    let name = name.rsplit('/').next().unwrap();
    let note = kept.stack.directory().join("packs/outgoing").join(name);
    let file = std::fs::File::create(&note).unwrap();
    file.set_modified(long_ago).unwrap();
    kept.stack.restart();
    until("what nothing names is deleted", DEADLINE, || {
        (kept.stored() == recorded && kept.notes().is_empty()).then_some(())
    });
    let repository = Repository::named(&kept.stack, "killed");
    takes(&repository, "second");
    replay(&repository).passes();
}

#[test]
fn retention_deletes_from_the_store_by_name() {
    let mut kept = Kept::start(8107);
    {
        let repository = Repository::guarded(&kept.stack, "old");
        takes(&repository, "old");
    }
    let old = kept.recorded();
    assert!(!old.is_empty());
    psql(
        &kept.stack,
        "UPDATE pack_receptions SET received_at = received_at - interval '2 days'; \
         UPDATE pack_copies SET stored_at = stored_at - interval '2 days'",
    );
    let text = std::fs::read_to_string(kept.config()).unwrap();
    let text = format!("{text}\n[retention]\npacks_days = 1\n");
    std::fs::write(kept.config(), text).unwrap();
    kept.stack.restart();
    within("old packs are gone", DEADLINE, || kept.stored().is_empty());
    assert!(kept.recorded().is_empty());
    let repository = Repository::named(&kept.stack, "old");
    takes(&repository, "young");
    assert_eq!(kept.stored(), kept.recorded());
    assert_eq!(kept.stored().len(), 1);
}
