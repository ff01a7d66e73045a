//! Placeholders that a masked reader puts elsewhere: where policy says so, the owners of the rule
//! are asked whether the secret may move; everywhere else the push is refused.

use std::sync::OnceLock;

use refwarden_testkit::{Api, Outcome, Repository, Stack, Via, with_token};
use refwarden_wire::api::{PushRecordOut, SecretMoveOut};

use crate::masked::{Clone, configured, place_of, planted};
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
        let repository = planted(stack(), name, format, seed);
        let clone = fresh(&repository);
        clone.git(&["mv", "conf/app", "conf/new"]);
        let mine = write(&clone, "b", "b\n", "Move");
        let told = ["RW201", "refs/heads/topic", "github-pat", "conf/new:2"];
        let refused = push(&repository, &clone, &TOPIC).fails(&told);
        assert_eq!(repository.value("refs/heads/topic"), None);

        // Whoever approves is told what moves, and that the pusher has not seen it.
        let request = request_of(&refused);
        let told = stack().api("audrey").request(&request).masked.unwrap();
        assert!(place_of(stack(), &repository).join(&told.view).is_dir());
        assert_eq!(told.generic, Some(false));
        let moves = SecretMoveOut {
            rule: "github-pat".into(),
            from: "conf/app".into(),
            path: "conf/new".into(),
            line: 2,
        };
        assert_eq!(told.moves, [moves]);
        let url = format!("{}/r/{request}", stack().started().service_url);
        let page = stack().browser("grace").open(&url);
        for words in ["masked view", "Secrets that would move", "conf/new:2"] {
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
        assert_eq!(record.facts.unwrap().secret_moves.len(), 1);
        assert!(record.verdict.to_string().contains("conf/new:2"));
        crate::shared::replay(&repository).passes();
    }
}

#[test]
fn lines_that_are_changed_or_copied_ask_too_and_a_rejection_holds() {
    let repository = planted(stack(), "moves-lines", "sha1", 9400);
    let clone = fresh(&repository);
    let shown = clone.read("conf/app");
    let exported = shown.replace("token = ", "export token = ");
    let copied = shown.lines().find(|it| it.starts_with("token")).unwrap();
    write(&clone, "conf/app", &exported, "Change the line");
    write(&clone, "README", &format!("read\n{copied}\n"), "Copy it");
    let told = ["RW201", "conf/app:2", "README:2"];
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
    let repository = planted(stack(), "moves-forged", "sha1", 9410);
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
    let narrow = planted(stack(), "narrow-moves", "sha1", 9420);
    let clone = fresh(&narrow);
    clone.git(&["mv", "conf/app", "conf/new"]);
    write(&clone, "b", "b\n", "Move");
    push(&narrow, &clone, &TOPIC).fails(&["RW303", "conf/new:2"]);
    let mut refs = [&repository, &narrow].into_iter();
    assert!(refs.all(|it| it.value("refs/heads/topic").is_none()));
}
