//! Placeholders that a masked reader puts elsewhere: where policy says so, the owners of the rule
//! are asked whether the secret may move; everywhere else the push is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::OnceLock;

use refwarden_testkit::{Api, Outcome, Repository, Stack, Via, planted, with_token};
use refwarden_wire::api::{PushRecordOut, SecretMoveOut};
use sha2::{Digest as _, Sha256};

use crate::masked::{Clone, configured, place_of, planted as with_secrets};
use crate::shared::{approve, request_of, secret};
use crate::unmasked::{fresh, tells_no_names, write};

const TOPIC: [&str; 1] = ["HEAD:refs/heads/topic"];

/// Agents read masked views and may ask for a secret to move; the maintainers own its rule. The
/// view of `narrow-*` does not ask.
fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    const OWNER: &str = r#"
[[secret_owner]]
id = "github-owners"
rules = ["github-*"]
approvers = ["group:maintainers"]
[[secret_owner]]
id = "database-owners"
rules = ["postgres-url-password", "subversion-*"]
approvers = ["group:maintainers"]
[[rule]]
id = "short-files"
refs = ["refs/heads/sized"]
max_file_size = 300
effect = "deny"
"#;
    STACK.get_or_init(|| {
        let mut stack = configured(str::to_owned, OWNER);
        let file = stack.directory().join("policy.toml");
        let policy = std::fs::read_to_string(&file).unwrap();
        let strict = policy.replace("effect = \"allow\"", "effect = \"deny\"");
        let masked = "actors = [\"kind:agent\"]\nsee = \"masked\"\n";
        let asks = format!("{masked}placeholder_move = \"approve\"\n");
        let edited = strict.replacen(masked, &asks, 1);
        assert!(strict != policy && edited != strict);
        std::fs::write(file, edited).unwrap();
        stack.restart();
        stack
    })
}

/// Pushes with a fresh token, as an agent that acts for ada.
fn push(repository: &Repository<'_>, clone: &Clone, arguments: &[&str]) -> Outcome {
    let git = with_token(stack().git(), &stack().token("ada"), Via::Http);
    let outcome = git.run(clone.path(), &[&["push", "origin"], arguments].concat());
    tells_no_names(repository, clone, &outcome);
    outcome
}

#[test]
fn a_secret_moves_once_an_owner_of_its_rule_has_approved() {
    for (name, format, seed) in [("moves-1", "sha1", 9380), ("moves-256", "sha256", 9390)] {
        let repository = with_secrets(stack(), name, format, seed);
        let clone = fresh(&repository);
        clone.git(&["mv", "conf/app", "conf/new"]);
        let mine = write(&clone, "b", "b\n", "Move");
        let told = [
            "RW201",
            "refs/heads/topic",
            "github-pat",
            "conf/app:2 to conf/new:2",
        ];
        let refused = push(&repository, &clone, &TOPIC).fails(&told);
        assert_eq!(repository.value("refs/heads/topic"), None);

        // Whoever approves is told what moves, and that the pusher has not seen it.
        let request = request_of(&refused);
        let told = stack().api("audrey").request(&request).masked.unwrap();
        assert!(place_of(stack(), &repository).join(&told.view).is_dir());
        assert_eq!(told.generic, Some(false));
        let print = told.moves[0].fingerprint.clone().unwrap();
        let moves = SecretMoveOut {
            rule: "github-pat".into(),
            also: Vec::new(),
            from: "conf/app".into(),
            from_line: Some(2),
            fingerprint: Some(print.clone()),
            path: "conf/new".into(),
            line: 2,
            unsound: false,
        };
        assert_eq!(told.moves, [moves]);
        assert!(!refused.said().contains(&print), "{}", refused.said());
        let url = format!("{}/r/{request}", stack().started().service_url);
        let page = stack().browser("grace").open(&url);
        let moves = [
            "Secrets that would move",
            "conf/app:2",
            "conf/new:2",
            &print,
        ];
        for words in ["masked view"].into_iter().chain(moves) {
            assert!(page.body.contains(words), "{words}: {}", page.body);
        }
        assert!(!page.body.contains(&secret(seed)));
        // The pusher is not told through which names.
        let own = Api::new(&stack().started().service_url, &stack().token("ada"));
        let shown = own.request(&request);
        assert_eq!((shown.state.as_str(), shown.masked), ("waiting", None));

        // The same push again is the same push.
        let again = push(&repository, &clone, &TOPIC).fails(&["RW201"]);
        assert_eq!(request_of(&again), request);
        approve(stack(), &request);
        push(&repository, &clone, &TOPIC).passes();
        let original = repository.git(&["show", "refs/heads/topic:conf/new"]);
        assert!(original.text().contains(&secret(seed)));
        let view = fresh(&repository);
        assert_eq!(view.git(&["rev-parse", "origin/topic"]), mine);
        view.tells_nothing(&repository, &[secret(seed), secret(seed + 1)]);
        // The record has it, and the verdict says who was asked and why.
        let api = stack().api("audrey");
        let events = api.events(name);
        let released = events.iter().find(|it| it.kind == "push.released").unwrap();
        let record: PushRecordOut = api.read(&format!("/pushes/{}", released.push_id.unwrap()));
        let facts = record.facts.unwrap();
        assert_eq!(facts.secret_moves.len(), 1);
        // Under the same name as what the scanner finds there.
        let mut findings = facts.findings.iter();
        let found = findings.find(|it| it.fingerprint == print).unwrap();
        assert_eq!(found.path, Some("conf/new".into()));
        assert!(record.verdict.to_string().contains("conf/new:2"));
        crate::shared::replay(&repository).passes();
    }
}

#[test]
fn lines_that_are_copied_ask_too_and_a_rejection_holds() {
    let repository = with_secrets(stack(), "moves-lines", "sha1", 9400);
    let clone = fresh(&repository);
    let shown = clone.read("conf/app");
    let copied = shown.lines().find(|it| it.starts_with("token")).unwrap();
    write(&clone, "conf/app", &format!("{shown}{copied}\n"), "Twice");
    write(&clone, "README", &format!("read\n{copied}\n"), "Copy it");
    let told = ["RW201", "conf/app:4", "README:2"];
    let refused = push(&repository, &clone, &TOPIC).fails(&told);
    let request = request_of(&refused);
    let url = format!("{}/r/{request}", stack().started().service_url);
    let rejected = stack().browser("grace").decide(&url, "reject", "No.");
    assert_eq!(rejected.status, 200, "{}", rejected.body);
    push(&repository, &clone, &TOPIC).fails(&["rejected"]);
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn what_no_view_has_and_where_nobody_is_asked_stays_refused() {
    let repository = with_secrets(stack(), "moves-forged", "sha1", 9410);
    let clone = fresh(&repository);
    let digits = "-0123456789abcdef";
    let forged = format!("token = REFWARDEN-{}{digits}\n", "MASKED-github-pat");
    write(&clone, "README", &forged, "Forge");
    push(&repository, &clone, &TOPIC).fails(&["RW303", "README:1"]);
    // A secret in full is no placeholder.
    let clone = fresh(&repository);
    write(&clone, "README", &format!("{}\n", secret(9410)), "In full");
    push(&repository, &clone, &TOPIC).fails(&["RW301", "README:1"]);
    // A message is no place for one, whoever would be asked.
    let clone = fresh(&repository);
    let shown = clone.read("conf/app");
    let line = shown.lines().find(|it| it.starts_with("token")).unwrap();
    write(&clone, "b", "b\n", line);
    push(&repository, &clone, &TOPIC).fails(&["RW303"]);
    // Of two views that fit, one does not ask.
    let narrow = with_secrets(stack(), "narrow-moves", "sha1", 9420);
    let clone = fresh(&narrow);
    clone.git(&["mv", "conf/app", "conf/new"]);
    write(&clone, "b", "b\n", "Move");
    push(&narrow, &clone, &TOPIC).fails(&["RW303", "conf/new:2"]);
    let mut refs = [&repository, &narrow].into_iter();
    assert!(refs.all(|it| it.value("refs/heads/topic").is_none()));
}

/// A repository with a password of this many characters, beside others of a line.
fn with_password(name: &str, template: &str, seed: u64) -> Repository<'static> {
    let repository = Repository::unguarded(stack(), name, "sha1");
    let password = planted::plant(template, seed);
    let line = format!("url = postgres://app:{password}@db.example.org/app\n");
    let work = repository.work();
    work.commit(&[(b"conf/db", line.as_bytes())], "With");
    let push = ["push", "-q", "origin", "main"];
    work.git.run(work.path(), &push).passes();
    repository.install().passes();
    repository
}

/// What hooks said, less what differs with names, times and codes of requests.
fn answered(repository: &Repository<'_>, outcome: &Outcome) -> String {
    let said = outcome.said().replace(&repository.name, "NAME");
    let lines = said.lines().filter(|line| line.starts_with("remote: "));
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '-';
    let mut plain = String::new();
    for line in lines {
        for part in line.split_inclusive(|it| !is_word(it)) {
            let word = part.trim_end_matches(|it| !is_word(it));
            let has = |is: fn(&u8) -> bool| word.bytes().any(|it| is(&it));
            let all = |is: fn(&u8) -> bool| word.bytes().all(|it| is(&it));
            let is_name = has(u8::is_ascii_digit)
                || all(u8::is_ascii_hexdigit)
                || all(u8::is_ascii_uppercase);
            plain += if word.len() >= 7 && is_name {
                "NAME "
            } else {
                part
            };
        }
        plain.push('\n');
    }
    plain
}

/// All that somebody is told who tries to find out how long a password is.
fn measured(name: &str, template: &str, seed: u64) -> Vec<String> {
    let repository = with_password(name, template, seed);
    let mut answers = Vec::new();
    let mut attempt = |edit: &dyn Fn(&str) -> String, arguments: &[&str]| {
        let clone = fresh(&repository);
        let shown = clone.read("conf/db");
        let line = shown.trim_end();
        write(&clone, "README", &edit(line), "Measure");
        let outcome = push(&repository, &clone, arguments);
        answers.push(answered(&repository, &outcome));
    };
    let dry = ["-o", "dry-run", "HEAD:refs/heads/dry"];
    let sized = ["HEAD:refs/heads/sized"];
    let dry_sized = ["-o", "dry-run", "HEAD:refs/heads/sized"];
    // Whole lines, in files about as long as what is let in: as the client has them, and as the
    // original would.
    for length in [200, 280, 290, 320] {
        let padded = |line: &str| format!("{line}\n{}\n", "x".repeat(length - line.len()));
        attempt(&padded, &sized);
        attempt(&padded, &dry_sized);
    }
    for arguments in [&TOPIC[..], &dry] {
        attempt(&|line| format!("{line}\n"), arguments);
        // Bytes of one's own beside the password.
        for (before, behind) in [("x", ""), ("", "x"), ("url = ", "@h/x")] {
            attempt(&|line| format!("{before}{line}{behind}\n"), arguments);
        }
        let filled = |line: &str| line.replace("@db", &format!("{}@db", "x".repeat(90)));
        attempt(&filled, arguments);
        let spread = |line: &str| line.replace("://app:", "://app:\n");
        attempt(&spread, arguments);
    }
    answers
}

#[test]
fn no_answer_before_an_approval_tells_how_long_a_secret_is() {
    let short = measured("moves-short", "{base62:20}7{base62:3}", 9430);
    let long = measured("moves-longs", "{base62:40}7{base62:40}", 9430);
    for (short, long) in short.iter().zip(&long) {
        assert_eq!(short, long);
    }
    let all = short.concat();
    for code in ["RW201", "RW303", "short-files", "dry run"] {
        assert!(all.contains(code), "{code}: {all}");
    }
}

#[test]
fn a_later_commit_may_keep_what_an_earlier_one_has_moved() {
    let repository = with_secrets(stack(), "moves-kept", "sha1", 9440);
    let clone = fresh(&repository);
    let shown = clone.read("conf/app");
    let copied = shown.lines().find(|it| it.starts_with("token")).unwrap();
    write(&clone, "README", &format!("read\n{copied}\n"), "Copy it");
    let mine = write(&clone, "README", &format!("and\nread\n{copied}\n"), "More");
    let refused = push(&repository, &clone, &TOPIC).fails(&["RW201", "README:2", "README:3"]);
    approve(stack(), &request_of(&refused));
    push(&repository, &clone, &TOPIC).passes();
    assert_eq!(fresh(&repository).git(&["rev-parse", "origin/topic"]), mine);
}

#[test]
fn what_masking_would_not_give_back_waits_and_nobody_can_approve_it() {
    let repository = Repository::unguarded(stack(), "moves-unsound", "sha1");
    let password = planted::plant("{base62:20}7{base62:9}", 9470);
    // Found under such a path alone.
    let path = format!("auth/svn.simple/{}", "0123456789abcdef".repeat(2));
    let cached = format!("K 8\npassword\nV 30\n{password}\nEND\n");
    let work = repository.work();
    work.commit(&[(path.as_bytes(), cached.as_bytes())], "With");
    let main = ["push", "-q", "origin", "main"];
    work.git.run(work.path(), &main).passes();
    repository.install().passes();
    let clone = fresh(&repository);
    write(&clone, "README", &clone.read(&path), "Copy");
    let told = ["RW201", "subversion-auth-password", "README:4"];
    let refused = push(&repository, &clone, &TOPIC).fails(&told);
    assert!(!refused.said().contains("RW408"), "{}", refused.said());
    // What would come to stand there in clear is not shown either.
    let request = request_of(&refused);
    let moves = stack()
        .api("audrey")
        .request(&request)
        .masked
        .unwrap()
        .moves;
    assert_eq!((moves.len(), moves[0].unsound), (1, true));
    let url = format!("{}/r/{request}", stack().started().service_url);
    let page = stack().browser("grace").open(&url).body;
    assert!(page.contains("nobody can approve this"), "{page}");
    assert!(!page.contains(&password), "{page}");
    let approved = stack().browser("grace").decide(&url, "approve", "Yes.");
    assert_eq!(approved.status, 409, "{}", approved.body);
    assert_eq!(stack().api("audrey").request(&request).state, "waiting");
    push(&repository, &clone, &TOPIC).fails(&["RW201"]);
    let rejected = stack().browser("grace").decide(&url, "reject", "No.");
    assert_eq!(rejected.status, 200, "{}", rejected.body);
    push(&repository, &clone, &TOPIC).fails(&["rejected"]);
    assert_eq!(repository.value("refs/heads/topic"), None);
    for event in stack().api("audrey").events(&repository.name) {
        assert!(!event.summary.contains(&password), "{event:#?}");
    }
}

/// Leaves what `refwarden-receive` would.
fn forge(directory: &Path, json: &str) {
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::create_dir_all(directory).unwrap();
    mode(directory, 0o700);
    for (name, text) in [("push.json", json), ("client.pack", "")] {
        let file = directory.join(name);
        std::fs::write(&file, text).unwrap();
        mode(&file, 0o600);
    }
}

#[test]
fn what_a_pusher_says_of_a_view_is_not_believed() {
    let repository = with_secrets(stack(), "moves-made-up", "sha1", 9450);
    let work = repository.work();
    let told = format!("token = {}\n", secret(9450));
    work.commit(&[(b"README", told.as_bytes())], "Copy");
    let object = work.git(&["rev-parse", "HEAD:README"]);
    let json = format!(
        r#"{{"view": "{view}", "ruleset": "x", "updates": [], "pack_bytes": 0, "moves": [{{
            "rule_id": "github-pat", "from": "conf/app", "from_line": 2, "fingerprint": "",
            "path": "README", "line": 1, "first": 1, "last": 1, "object": "{object}"}}]}}"#,
        view = "0".repeat(64),
    );
    // In a place of one's own, and where it is expected.
    let own = tempfile::tempdir().unwrap();
    let places = [
        own.path().join("pushes/push-forged"),
        stack().directory().join("views/pushes/push-forged"),
    ];
    for place in places {
        forge(&place, &json);
        let forged = work
            .git
            .with("REFWARDEN_MASKED_PUSH", place.to_str().unwrap());
        let git = with_token(&forged, &stack().token("ada"), Via::Local);
        let push = ["push", "origin", "HEAD:refs/heads/forged"];
        let words = ["was not left by refwarden-receive"];
        git.run(work.path(), &push).fails(&words);
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!(repository.value("refs/heads/forged"), None);
    }
}

#[test]
fn a_pack_that_is_too_long_is_refused_and_not_kept() {
    let repository = with_secrets(stack(), "moves-long-pack", "sha1", 9460);
    repository
        .git(&["config", "receive.maxInputSize", "4k"])
        .passes();
    let clone = fresh(&repository);
    let long = (0..4000u64).map(|it| hex::encode(Sha256::digest(it.to_be_bytes())));
    write(&clone, "long", &long.collect::<Vec<_>>().join("\n"), "Long");
    let refused = push(&repository, &clone, &TOPIC);
    refused.fails(&[
        "RW408",
        "longer than the 4096 bytes",
        "receive.maxInputSize",
    ]);
    let events = stack().api("audrey").events(&repository.name);
    let refused: Vec<_> = events
        .iter()
        .filter(|it| it.kind == "push.refused")
        .collect();
    assert_eq!(refused.len(), 1, "{events:#?}");
    let summary = &refused[0].summary;
    assert!(
        summary.contains("no pack") && summary.contains("longer"),
        "{summary}"
    );
    // Nothing of it lies about, and what is short comes in as before.
    let clone = fresh(&repository);
    write(&clone, "b", "b\n", "Short");
    push(&repository, &clone, &TOPIC).passes();
}
