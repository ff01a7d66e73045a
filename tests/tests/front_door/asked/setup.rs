//! A Refwarden whose policy asks for everything that people can be asked for.

use std::fmt::Write as _;
use std::sync::OnceLock;

use refwarden_testkit::{Outcome, Stack, Via, Work};

use crate::shared::request_of;

pub const MAIN: &str = "refs/heads/main";

/// `main` is for two people who may come by one rebase; more rules are beside it.
pub const POLICY: &str = r#"
version = 1

[[rule]]
id = "rebase"
refs = ["refs/heads/main"]
effect = "require_approval"
approvers = ["group:maintainers"]
bind = "patch"

[[rule]]
id = "questions"
refs = ["refs/heads/release/**"]
effect = "require_approval"
approvers = ["group:maintainers"]
questions = ["Did you run it, and where?", "Have you read every line?"]

[[rule]]
id = "window"
refs = ["refs/heads/window/**"]
effect = "require_approval"
approvers = ["group:maintainers"]
longest_grant = "30m"

[[rule]]
id = "no-programs"
refs = ["refs/heads/window/**"]
forbidden_extensions = ["exe"]
effect = "deny"

[[rule]]
id = "strict"
refs = ["refs/heads/window/strict"]
effect = "require_approval"
approvers = ["group:security"]

[[rule]]
id = "emergency"
refs = ["refs/heads/prod"]
effect = "require_approval"
approvers = ["group:maintainers"]
break_glass = ["group:oncall"]

[[rule]]
id = "pair"
refs = ["refs/heads/pair"]
effect = "require_approval"
approvers = ["group:maintainers"]
quorum = 2

[[rule]]
id = "passable"
refs = ["refs/heads/passable"]
effect = "deny"
bypass = ["group:oncall"]

[[rule]]
id = "rate"
refs = ["refs/heads/rate", "refs/heads/robots/*"]
actors = ["user:robot"]
max_pushes_per_hour = 2
effect = "deny"
"#;

/// People beside those of the quick start: name, address, group. `grace2` is a second account of
/// grace: the same verified address.
const PEOPLE: [(&str, &str, &str); 4] = [
    ("lin", "lin@example.org", "maintainers"),
    ("grace2", "Grace@Example.org", "maintainers"),
    ("olga", "olga@example.org", "oncall"),
    ("sam", "sam@example.org", "security"),
];

/// The one that these tests share.
pub fn asked() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| start(POLICY))
}

/// One of a test's own, with a policy.
pub fn start(policy: &str) -> Stack {
    let mut stack = Stack::start();
    let identities = stack.directory().join("identities.toml");
    let mut text = std::fs::read_to_string(&identities).unwrap();
    for (name, email, group) in PEOPLE {
        let _ = write!(
            text,
            "\n[[user]]\nname = \"{name}\"\npassword = \"of {name}, long enough\"\n\
             email = \"{email}\"\ngroups = [\"{group}\"]\n"
        );
    }
    text.push_str(
        "\n[[client]]\nid = \"robot\"\nsecret = \"of robot, long enough\"\nkind = \"agent\"\n",
    );
    std::fs::write(&identities, text).unwrap();
    set_policy(&mut stack, policy);
    stack
}

/// Puts another policy in force.
pub fn set_policy(stack: &mut Stack, policy: &str) {
    std::fs::write(stack.directory().join("policy.toml"), policy).unwrap();
    stack.restart();
}

/// Pushes what is checked out to a ref, on behalf of ada.
#[track_caller]
pub fn push_to(work: &Work<'_>, ref_name: &str) -> Outcome {
    work.push(Via::Local, &[&format!("HEAD:{ref_name}")])
}

/// The request that such a push makes.
#[track_caller]
pub fn ask(work: &Work<'_>, ref_name: &str) -> String {
    request_of(&push_to(work, ref_name).fails(&["RW201"]))
}

/// Approves by the API as it stands; the request must be approved then.
#[track_caller]
pub fn approve(stack: &Stack, person: &str, request: &str) {
    let (status, body) = stack
        .api(person)
        .decide(request, "approve", "Looked at it.");
    assert_eq!(status, 200, "{person}: {body}");
}
