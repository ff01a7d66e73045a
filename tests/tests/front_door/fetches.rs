//! Fetches are on record: who, from where, for what, and which objects they were sent. With real
//! git over HTTP and SSH, with clients that break off, and while the service is away.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use refwarden_testkit::{
    Repository, Sshd, Stack, Via, flush, line, run, until, with_token, within,
};
use refwarden_wire::api::EventOut;
use refwarden_wire::fetch::{FETCH_KNOWN, FETCH_OBJECTS, FETCHES};
use tempfile::TempDir;

use crate::masked::{masked_stack, planted};
use crate::shared::stack;

const SOON: Duration = Duration::from_secs(30);

#[track_caller]
pub fn psql(stack: &Stack, statement: &str) -> String {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(statement)
        .arg(&stack.started().database_url);
    run(command, b"").passes().text()
}

/// A column of a repository's fetches, the oldest first.
#[track_caller]
pub fn column(repository: &Repository<'_>, expression: &str) -> Vec<String> {
    let rows = psql(
        repository.stack,
        &format!(
            "SELECT coalesce(({expression})::text, 'none') FROM fetches \
             WHERE repository_id = (SELECT id FROM repositories WHERE name = '{}') \
             ORDER BY begun_at, id",
            repository.name
        ),
    );
    rows.lines().map(str::to_owned).collect()
}

/// Waits until a repository has so many fetches on record.
#[track_caller]
pub fn recorded(repository: &Repository<'_>, count: usize) -> Vec<EventOut> {
    let api = repository.stack.api("audrey");
    let kinds = ["fetch.complete", "fetch.aborted"];
    until("fetches are recorded", SOON, || {
        let events = api.events(&repository.name).into_iter();
        let events = events.filter(|event| kinds.contains(&event.kind.as_str()));
        let events: Vec<EventOut> = events.collect();
        (events.len() >= count).then_some(events)
    })
}

/// The objects of the last fetch, as they are on record.
#[track_caller]
fn last_objects(repository: &Repository<'_>) -> BTreeSet<String> {
    let rows = psql(
        repository.stack,
        &format!(
            "SELECT width, encode(oids, 'hex') FROM object_parts WHERE digest IN (
                SELECT unnest(parts) FROM object_sets WHERE digest = (
                    SELECT objects FROM fetches WHERE repository_id =
                        (SELECT id FROM repositories WHERE name = '{}')
                    ORDER BY begun_at DESC, id DESC LIMIT 1))",
            repository.name
        ),
    );
    let mut oids = BTreeSet::new();
    for row in rows.lines() {
        let (width, digits) = row.split_once('|').unwrap();
        let width = 2 * width.parse::<usize>().unwrap();
        let digits = digits.as_bytes().chunks(width);
        oids.extend(digits.map(|oid| String::from_utf8(oid.to_vec()).unwrap()));
    }
    oids
}

/// Every object that a clone has, without fetching what it lacks.
#[track_caller]
fn has(git: &refwarden_testkit::Git, directory: &std::path::Path) -> BTreeSet<String> {
    let list = [
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objectname)",
    ];
    let git = git.with("GIT_NO_LAZY_FETCH", "1");
    git.text(directory, &list)
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A clone in a directory of its own, with a token that stays.
fn cloned(repository: &Repository<'_>, arguments: &[&str]) -> (refwarden_testkit::Git, TempDir) {
    let token = repository.stack.token("ada");
    let git = with_token(repository.stack.git(), &token, Via::Http);
    let directory = tempfile::tempdir().unwrap();
    let url = repository.http_url();
    let all = [&["clone", "-q"], arguments, &[&url, "."]].concat();
    git.run(directory.path(), &all).passes();
    (git, directory)
}

#[test]
fn a_clone_is_recorded_with_who_and_what_in_every_version_of_the_protocol() {
    let repository = Repository::guarded(stack(), "fetched");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n"), (b"b/c", b"c\n")], "A");
    work.git(&["tag", "-a", "-m", "One", "v1"]);
    work.push(Via::Local, &["HEAD:refs/heads/topic", "v1"])
        .passes();
    let token = stack().token("ada");
    let git = with_token(stack().git(), &token, Via::Http);
    for version in ["0", "1", "2"] {
        let directory = tempfile::tempdir().unwrap();
        let protocol = format!("protocol.version={version}");
        let url = repository.http_url();
        let clone = ["-c", &protocol, "clone", "-q", "--bare", &url, "."];
        git.run(directory.path(), &clone).passes();
        let count = version.parse::<usize>().unwrap() + 1;
        let events = recorded(&repository, count);
        let event = events.last().unwrap();
        assert_eq!(event.kind, "fetch.complete");
        assert_eq!(event.actor, "agent for ada");
        assert!(
            event
                .summary
                .starts_with("fetched the repository from 127.0.0.1: ")
        );
        assert_eq!(
            last_objects(&repository),
            has(&git, directory.path()),
            "version {version}"
        );
    }
    assert_eq!(column(&repository, "certainty"), ["exact"; 3]);
    assert_eq!(column(&repository, "asked->'protocol'"), ["0", "1", "2"]);
    assert_eq!(column(&repository, "asked->'haves_total'"), ["0"; 3]);
    assert_eq!(column(&repository, "transport"), ["http"; 3]);
    assert_eq!(column(&repository, "client_address"), ["127.0.0.1"; 3]);
    let agents = column(&repository, "client_agent");
    assert!(
        agents.iter().all(|agent| agent.starts_with("git/")),
        "{agents:?}"
    );
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&token));
    assert_eq!(column(&repository, "token_sha256"), [hash.as_str(); 3]);
    assert_eq!(column(&repository, "reader_kind"), ["agent"; 3]);
    assert_eq!(column(&repository, "behalf_subject"), ["ada"; 3]);
    // main, topic, v1, v1^{} and HEAD; ls-refs of version 2 says the peeled value in the tag's line.
    assert_eq!(column(&repository, "refs_count"), ["5", "5", "4"]);
    // The token is nowhere, and an agent's pack is kept, once.
    let signature = token.rsplit('.').next().unwrap();
    let rows =
        format!("SELECT count(*) FROM fetches AS f WHERE strpos(f::text, '{signature}') > 0");
    assert_eq!(psql(stack(), &rows), "0");
    let kept = column(&repository, "pack_digest");
    assert_eq!(kept, column(&repository, "pack_sha256"));
    let copies = format!(
        "SELECT count(*) FROM pack_copies WHERE digest = '{}'",
        kept[0]
    );
    assert_eq!(psql(stack(), &copies), "1");
    // What was recorded belongs to the log.
    stack().refwarden(&["audit", "verify"]).passes();
}

/// A repository serves partial clones where its own configuration says so.
pub fn lets_partial_clones(repository: &Repository<'_>) {
    for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        repository.git(&["config", setting, "true"]).passes();
    }
}

#[test]
fn what_an_incremental_a_shallow_and_a_partial_fetch_brought_is_known_exactly() {
    let repository = Repository::guarded(stack(), "partly-fetched");
    lets_partial_clones(&repository);
    let work = repository.work();
    let lines: Vec<String> = (0..500).map(|n| format!("line {n}\n")).collect();
    let text = lines.concat();
    for round in 0..6 {
        let changed = format!("{text}round {round}\n");
        let one = format!("{round}\n");
        work.commit(
            &[(b"big", changed.as_bytes()), (b"d/one", one.as_bytes())],
            "Round",
        );
    }
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    // Incremental, whose pack is thin: its deltas build on what the client has.
    let (git, full) = cloned(&repository, &["--bare", "--mirror"]);
    recorded(&repository, 1);
    let before = has(&git, full.path());
    let changed = format!("{text}more\n");
    work.commit(&[(b"big", changed.as_bytes())], "More");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    git.run(full.path(), &["fetch", "-q"]).passes();
    recorded(&repository, 2);
    let after = has(&git, full.path());
    let came: BTreeSet<String> = after.difference(&before).cloned().collect();
    assert_eq!(came.len(), 3);
    assert_eq!(last_objects(&repository), came);
    assert_eq!(
        column(&repository, "asked->'haves_total' <> '0'")[1],
        "true"
    );

    // Shallow, then deeper, then whole.
    let (git, shallow) = cloned(&repository, &["--bare", "--depth=2", "--branch=topic"]);
    recorded(&repository, 3);
    let mut known = has(&git, shallow.path());
    assert_eq!(last_objects(&repository), known);
    for (arguments, count) in [
        (&["fetch", "-q", "--deepen=2", "origin", "topic"][..], 4),
        (&["fetch", "-q", "--unshallow", "origin", "topic"], 5),
    ] {
        git.run(shallow.path(), arguments).passes();
        recorded(&repository, count);
        let now = has(&git, shallow.path());
        let came: BTreeSet<String> = now.difference(&known).cloned().collect();
        let sent = last_objects(&repository);
        // git may send what the client has. It never sends less than what came.
        assert!(
            sent.is_superset(&came) && sent.is_subset(&now),
            "{arguments:?}"
        );
        known = now;
    }

    // Without blobs; one comes later by its name.
    let (git, partial) = cloned(&repository, &["--bare", "--filter=blob:none"]);
    recorded(&repository, 6);
    let known = has(&git, partial.path());
    assert_eq!(last_objects(&repository), known);
    let blob = work.git(&["rev-parse", "HEAD~2:d/one"]);
    assert!(!known.contains(&blob));
    assert_eq!(git.text(partial.path(), &["cat-file", "blob", &blob]), "4");
    recorded(&repository, 7);
    assert_eq!(last_objects(&repository), [blob].into());
    assert_eq!(column(&repository, "certainty"), ["exact"; 7]);
    let filters = column(&repository, "asked->>'filter'");
    assert_eq!(filters[5], "blob:none");
}

#[test]
fn ssh_and_sha_256_are_recorded_alike() {
    let sshd = Sshd::with_shell(&stack().started().repositories, &["grace"]);
    let repository = Repository::unguarded(stack(), "fetched-256", "sha256");
    repository.install().passes();
    let token = stack().token_as("operator", "grace", "10m");
    for (via, count) in [(Via::Ssh(&sshd), 1), (Via::Http, 2)] {
        let git = with_token(stack().git(), &token, via);
        let directory = tempfile::tempdir().unwrap();
        let clone = ["clone", "-q", "--bare", &repository.url(via), "."];
        git.run(directory.path(), &clone).passes();
        recorded(&repository, count);
        assert_eq!(last_objects(&repository), has(&git, directory.path()));
    }
    assert_eq!(column(&repository, "transport"), ["ssh", "http"]);
    assert_eq!(column(&repository, "reader_subject"), ["grace"; 2]);
    // A person's pack is not kept, and its objects are on record all the same.
    assert_eq!(column(&repository, "pack_digest"), ["none"; 2]);
    assert_eq!(column(&repository, "certainty"), ["exact"; 2]);
}

#[test]
fn a_masked_fetch_names_the_view_and_what_it_brought() {
    let stack = masked_stack();
    let sshd = Sshd::with_shell(&stack.started().repositories, &[]);
    let ways = [
        ("masked-fetched", 9700, Via::Http),
        ("masked-ssh-fetched", 9710, Via::Ssh(&sshd)),
    ];
    for (name, seed, via) in ways {
        let repository = planted(stack, name, "sha1", seed);
        let git = with_token(stack.git(), &stack.token("ada"), via);
        let directory = tempfile::tempdir().unwrap();
        let url = match via {
            Via::Ssh(sshd) => sshd.named_url(name),
            _ => repository.http_url(),
        };
        let clone = ["clone", "-q", "--mirror", &url, "."];
        git.run(directory.path(), &clone).passes();
        recorded(&repository, 1);
        let before = has(&git, directory.path());
        assert_eq!(last_objects(&repository), before);
        let work = repository.work();
        work.commit(&[(b"more", b"more\n")], "More");
        crate::masked::push(&work, &["HEAD:refs/heads/main"]);
        git.run(directory.path(), &["fetch", "-q"]).passes();
        recorded(&repository, 2);
        let after = has(&git, directory.path());
        let came: BTreeSet<String> = after.difference(&before).cloned().collect();
        assert!(!came.is_empty());
        assert_eq!(last_objects(&repository), came);
        let views = column(&repository, "view_id");
        assert!(views[0].len() == 16 && views[0] == views[1], "{views:?}");
        let rulesets = column(&repository, "view_ruleset");
        assert!(rulesets.iter().all(|it| it.len() > 20), "{rulesets:?}");
        assert_eq!(column(&repository, "reader_kind"), ["agent"; 2]);
        let transport = match via {
            Via::Ssh(_) => "ssh",
            _ => "http",
        };
        assert_eq!(column(&repository, "transport"), [transport; 2]);
    }
}

/// A repository with objects that do not compress, so that a pack of it is too long for pipes.
fn bulky(repository: &Repository<'_>) {
    let work = repository.work();
    for file in 0..8_u64 {
        let mut state = file.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(256 << 10)
        .flatten()
        .collect();
        work.commit(&[(format!("bulk{file}").as_bytes(), &bytes)], "Bulk");
    }
    work.git(&["tag", "-a", "-m", "Bulk", "bulk", "HEAD~2"]);
    work.git(&["tag", "-a", "-m", "Outer", "outer", "bulk"]);
    work.push(Via::Local, &["HEAD:refs/heads/topic", "outer"])
        .passes();
}

/// The body of a request for everything that an object reaches.
fn wanting(head: &str) -> Vec<u8> {
    let mut body = line(b"command=fetch");
    body.extend(line(b"object-format=sha1"));
    body.extend_from_slice(b"0001");
    body.extend(line(b"no-progress"));
    body.extend(line(b"include-tag"));
    body.extend(line(format!("want {head}\n").as_bytes()));
    body.extend(line(b"done\n"));
    body.extend_from_slice(flush());
    body
}

#[track_caller]
fn post(repository: &Repository<'_>, token: &str, body: &[u8]) -> TcpStream {
    try_post(repository, token, body).unwrap()
}

/// The proxy may end before all of it is said.
fn try_post(repository: &Repository<'_>, token: &str, body: &[u8]) -> std::io::Result<TcpStream> {
    let host = &repository.stack.started().proxy_url;
    let host = host.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host)?;
    let head = format!(
        "POST /{}.git/git-upload-pack HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\nGit-Protocol: version=2\r\n\
         Content-Type: application/x-git-upload-pack-request\r\n\r\n",
        repository.name,
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

#[test]
fn a_client_that_breaks_off_is_recorded_with_what_it_may_have() {
    let repository = Repository::guarded(stack(), "broken-off");
    bulky(&repository);
    let head = repository.value("refs/heads/topic").unwrap();
    let token = stack().token("ada");
    let mut stream = post(&repository, &token, &wanting(&head));
    let mut some = vec![0; 100_000];
    stream.read_exact(&mut some).unwrap();
    assert!(memchr::memmem::find(&some, b"PACK").is_some());
    drop(stream);
    // Nobody is told by git that it was stopped: the reconciler, or the next fetch, sends it.
    let path = repository.path.display().to_string();
    let events = until("it is recorded", SOON, || {
        stack().refwarden(&["reconcile", &path]).passes();
        let events = stack().api("audrey").events(&repository.name);
        let events = events
            .into_iter()
            .filter(|event| event.kind == "fetch.aborted");
        let events: Vec<EventOut> = events.collect();
        (!events.is_empty()).then_some(events)
    });
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(
        events[0].summary.starts_with("stopped: fetched"),
        "{events:#?}"
    );
    assert_eq!(column(&repository, "certainty"), ["at-most"]);
    assert_eq!(column(&repository, "ended_at"), ["none"]);
    // Tags of what was sent come along, whether they were asked for or not.
    let list = [
        "rev-list",
        "--objects",
        "--no-object-names",
        &head,
        "refs/tags/outer",
    ];
    let all = repository.git(&list).passes().text();
    assert_eq!(
        last_objects(&repository),
        all.lines().map(str::to_owned).collect()
    );
    let bytes: u64 = column(&repository, "pack_bytes")[0].parse().unwrap();
    // Less than a thousand of what was read are headers and frames.
    assert!(bytes > 99_000 && bytes < 16 << 20, "{bytes}");
}

#[test]
fn what_is_no_fetch_leaves_no_record() {
    let repository = Repository::guarded(stack(), "no-fetch");
    let token = stack().token("ada");
    let unknown = "1".repeat(40);
    let mut long = line(b"command=fetch");
    long.extend_from_slice(b"0001");
    let have = line(format!("have {unknown}\n").as_bytes());
    while long.len() < 65 << 20 {
        long.extend_from_slice(&have);
    }
    for body in [
        &b""[..],
        b"zzzz",
        b"0000",
        b"fff0",
        &wanting(&unknown),
        &wanting("x"),
        &wanting("--upload-pack=x"),
        &wanting(&format!("{unknown}\n--all")),
        &long,
    ] {
        if let Ok(mut stream) = try_post(&repository, &token, body) {
            let mut answer = vec![0; 4096];
            let length = stream.read(&mut answer).unwrap_or(0);
            assert!(memchr::memmem::find(&answer[..length], b"PACK").is_none());
        }
    }
    let git = with_token(stack().git(), &token, Via::Http);
    let url = repository.http_url();
    git.run(&repository.path, &["ls-remote", &url]).passes();
    // What comes after them is the first on record.
    let (_, _directory) = cloned(&repository, &[]);
    recorded(&repository, 1);
    assert_eq!(column(&repository, "ended"), ["complete"]);
    assert_eq!(ending(stack(), "making"), 0);
}

/// Files of the spool with that extension.
fn ending(stack: &Stack, extension: &str) -> usize {
    let names = spool_of(stack).into_iter().map(std::path::PathBuf::from);
    let ends = |name: &std::path::PathBuf| name.extension().is_some_and(|it| it == extension);
    names.filter(ends).count()
}

fn spool_of(stack: &Stack) -> Vec<String> {
    let entries = std::fs::read_dir(stack.directory().join("spool/fetches"));
    let names = entries.into_iter().flatten().flatten();
    names
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_fetch_while_the_service_is_away_is_told_later_and_once() {
    let mut stack = Stack::start();
    {
        let repository = Repository::guarded(&stack, "app");
        let token = stack.token("ada");
        let git = with_token(stack.git(), &token, Via::Http);
        let url = repository.http_url();
        // Known to the proxy, so that it may go on reading.
        git.run(&repository.path, &["ls-remote", &url]).passes();
        stack.kill("service");
        let directory = tempfile::tempdir().unwrap();
        git.run(directory.path(), &["clone", "-q", "--bare", &url, "."])
            .passes();
        within("the fetch waits", SOON, || ending(&stack, "fetch") == 1);
    }
    stack.restart();
    let repository = Repository::named(&stack, "app");
    let path = repository.path.display().to_string();
    stack.refwarden(&["reconcile", &path]).passes();
    let events = recorded(&repository, 1);
    assert_eq!(events[0].actor, "agent for ada");
    assert_eq!(column(&repository, "certainty"), ["exact"]);
    stack.refwarden(&["reconcile", &path]).passes();
    assert_eq!(recorded(&repository, 1).len(), 1);
    within("the spool is empty", SOON, || {
        spool_of(&stack).iter().all(|name| name == "sender.lock")
    });
}

#[test]
fn a_fetch_that_cannot_be_noted_is_refused_and_the_rest_goes_on() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "app");
    let spool = stack.directory().join("spool/fetches");
    let _ = std::fs::remove_dir_all(&spool);
    std::fs::create_dir_all(spool.parent().unwrap()).unwrap();
    std::fs::write(&spool, b"no directory").unwrap();
    let token = stack.token("ada");
    let git = with_token(stack.git(), &token, Via::Http);
    let url = repository.http_url();
    let directory = tempfile::tempdir().unwrap();
    let clone = ["clone", "-q", "--bare", &url, "."];
    git.run(directory.path(), &clone)
        .fails(&["RW507", "nothing was sent"]);
    git.run(directory.path(), &["ls-remote", &url]).passes();
    std::fs::remove_file(&spool).unwrap();
    git.run(directory.path(), &clone).passes();
    recorded(&repository, 1);
}

#[test]
fn a_recorder_that_is_killed_leaves_what_it_noted() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "app");
    bulky(&repository);
    let head = repository.value("refs/heads/topic").unwrap();
    let token = stack.token("ada");
    let mut stream = post(&repository, &token, &wanting(&head));
    let mut some = vec![0; 4096];
    stream.read_exact(&mut some).unwrap();
    // Everything that serves is killed at once, as when the host goes down.
    let working = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let pids = processes.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
        let here = |pid: &i32| {
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd"));
            cwd.is_ok_and(|cwd| cwd == repository.path)
        };
        pids.filter(here).collect::<Vec<_>>()
    };
    assert!(!working().is_empty());
    stack.kill("proxy");
    for pid in working() {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let path = repository.path.display().to_string();
    until("it is recorded", SOON, || {
        stack.refwarden(&["reconcile", &path]).passes();
        let rows = column(&repository, "ended");
        (rows == ["aborted"]).then_some(())
    });
    assert_eq!(column(&repository, "certainty"), ["at-most"]);
}

#[test]
fn what_a_host_says_of_fetches_is_held_to_its_form() {
    let repository = Repository::guarded(stack(), "host-says");
    let id = repository.git(&["config", "refwarden.repository"]);
    let id = id.passes().text();
    let key = std::fs::read_to_string(stack().directory().join("host.key")).unwrap();
    let client = reqwest::blocking::Client::builder().no_proxy().build();
    let client = client.unwrap();
    let post = |key: &str, path: &str, body: Vec<u8>, kind: &str| {
        let url = format!("{}{path}", stack().started().service_url);
        let request = client.post(url).bearer_auth(key.trim()).body(body);
        let answer = request.header("content-type", kind).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    let json = |path: &str, body: serde_json::Value| {
        post(
            &key,
            path,
            body.to_string().into_bytes(),
            "application/json",
        )
        .0
    };
    let known = |id: &str| serde_json::json!({"repository": id, "pack_digest": "0".repeat(64)});
    assert_eq!(json(FETCH_KNOWN, known(&id)), 200);
    assert_eq!(
        json(FETCH_KNOWN, known("0198c0f2-0000-7000-8000-000000000000")),
        404
    );
    let stranger = post(
        "rwh_x",
        FETCH_KNOWN,
        known(&id).to_string().into_bytes(),
        "application/json",
    );
    assert_eq!(stranger.0, 401);
    let (one, other) = ("1".repeat(40), "2".repeat(40));
    let objects = |parts: &[&str], oids: &str| {
        serde_json::json!({"repository": id, "format": "sha1", "parts": parts,
            "brought": [{"bits": 0, "prefix": 0, "oids": oids}]})
    };
    for bad in [
        objects(&["x"], &one),
        objects(&[&"0".repeat(64)], &one),
        objects(&[], &one),
        objects(&[&"0".repeat(64)], &format!("{other}{one}")),
        objects(&[&"0".repeat(64)], &one[..38]),
        objects(&[&"0".repeat(64)], "zz"),
    ] {
        assert_eq!(json(FETCH_OBJECTS, bad.clone()), 400, "{bad}");
    }
    let fetch = serde_json::json!({
        "id": "0198c0f2-0000-7000-8000-000000000001",
        "session": {"repository": id, "transport": "http", "client_address": null,
            "client_agent": "git/1 <script>", "actor": null, "token_sha256": null, "policy": "p",
            "view": null, "refs": null, "keep": false},
        "begun_at": 1_700_000_000_000_000_i64, "ended_at": null,
        "asked": {"protocol": 2, "wants": [one], "wants_total": 1, "haves": [], "haves_total": 0,
            "shallow": [], "shallow_total": 0, "filter": null, "digest": "d"},
        "ended": "aborted", "pack_bytes": 0, "pack_objects": null, "pack_digest": null,
        "keep": false, "objects": null, "certainty": null,
    });
    let framed = |fetch: &serde_json::Value| {
        let text = fetch.to_string().into_bytes();
        let mut body = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        body.extend(text);
        post(&key, FETCHES, body, "application/vnd.refwarden.framed")
    };
    // Told twice, it is recorded once.
    let (status, first) = framed(&fetch);
    assert_eq!(status, 200, "{first}");
    assert_eq!(framed(&fetch), (200, first));
    assert_eq!(column(&repository, "ended"), ["aborted"]);
    let long = vec![other; 10_001];
    let asked = serde_json::json!({"protocol": 2, "wants": long, "wants_total": 1, "haves": [],
        "haves_total": 0, "shallow": [], "shallow_total": 0, "filter": null, "digest": "d"});
    for (name, value) in [
        ("objects", serde_json::json!("0")),
        ("pack_digest", serde_json::json!("../../etc/passwd")),
        ("begun_at", serde_json::json!(i64::MAX)),
        ("ended", serde_json::json!("stolen")),
        ("asked", asked),
    ] {
        let mut bad = fetch.clone();
        bad["id"] = serde_json::json!("0198c0f2-0000-7000-8000-000000000002");
        bad[name] = value;
        assert_eq!(framed(&bad).0, 400, "{name}");
    }
    assert_eq!(column(&repository, "ended"), ["aborted"]);
}
