//! What is warned of, and that good policies are not.

use crate::Policy;

const MAIN: &str = "refs = [\"refs/heads/main\"]";

/// Rules are given as their keys; ids are r0, r1 and so on.
fn texts(head: &str, rules: &[&str]) -> Vec<String> {
    let rules = rules.iter().enumerate();
    let rules = rules.map(|(number, rule)| format!("[[rule]]\nid = \"r{number}\"\n{rule}\n"));
    let text = format!("version = 1\n{head}\n{}", rules.collect::<String>());
    let read = |_: &str, name: &str| {
        Ok(match name {
            "EMPTY" => "docs/\n".to_owned(),
            _ => "* @ada\n".to_owned(),
        })
    };
    let policy = Policy::parse_with(&[("p.toml", &text)], &read).unwrap();
    policy.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn good_policies_are_not_warned_of() {
    let approve = format!("{MAIN}\neffect = \"require_approval\"\napprovers = [\"group:m\"]");
    let delete = format!("{MAIN}\non = [\"delete\"]\neffect = \"deny\"");
    let tags = "refs = [\"refs/tags/**\"]\non = [\"tag-move\", \"delete\"]\neffect = \"deny\"";
    let allow = "refs = [\"refs/heads/**\"]\neffect = \"allow\"";
    let none: [String; 0] = [];
    assert_eq!(texts("", &[&approve, &delete, tags]), none);
    assert_eq!(texts("[default]\neffect = \"deny\"", &[allow]), none);
}

#[test]
fn mistakes_are_warned_of() {
    let allow_secrets = "[secrets]\neffect = \"allow\"";
    let default_deny = "[default]\neffect = \"deny\"";
    let deny_main = "refs = [\"refs/heads/main\"]\neffect = \"deny\"";
    let approve = |keys: &str| format!("{MAIN}\neffect = \"require_approval\"\n{keys}");
    let check = |head: &str, rules: &[&str], expected: &str| {
        let texts = texts(head, rules);
        let found = texts.iter().any(|text| text.contains(expected));
        assert!(found, "{rules:?}: {texts:?}, not {expected}");
    };
    check("", &[], "only secrets are refused");
    check(allow_secrets, &[], "protects nothing");
    let evaluate = format!("{deny_main}\nmode = \"evaluate\"");
    check(allow_secrets, &[&evaluate], "protects nothing");
    check(default_deny, &[deny_main], "no rule allows");
    check(
        "",
        &["refs = [\"**\"]\neffect = \"deny\""],
        "denies every update",
    );
    for glob in [
        "refs/heads/a b",
        "refs/heads/",
        "refs/heads/x.lock",
        "refs//x",
        "refs/[ab]",
    ] {
        let rule = format!("refs = [\"{glob}\"]\neffect = \"deny\"");
        check("", &[&rule], "p.toml:4: rule 'r0': ");
        check("", &[&rule], "matches no name");
    }
    for excluded in ["refs/heads/main", "refs/heads/*", "refs/**", "**"] {
        let rule = format!("{deny_main}\nexclude = [\"{excluded}\"]");
        check("", &[&rule], "all of its refs are excluded");
    }
    let out = format!("{deny_main}\nactors = [\"user:a\"]\nexclude_actors = [\"user:a\"]");
    check("", &[&out], "all of its actors");
    let moved = format!("{deny_main}\non = [\"tag-move\"]");
    check("", &[&moved], "only refs under refs/tags/");
    let deleted = format!("{deny_main}\non = [\"delete\"]\nmax_files = 3");
    check("", &[&deleted], "a delete brings no commits");
    let few = approve("quorum = 2\napprovers = [\"user:a\", \"user:a\"]");
    check(
        "",
        &[&few],
        "can never be met: it asks for 2 approvals and lists 1 people",
    );
    let group = approve("all_of = [{ quorum = 3, approvers = [\"user:a\", \"email:b@c\"] }]");
    check("", &[&group], "lists 2 people");
    let own = approve("actors = [\"user:a\"]\napprovers = [\"user:a\"]");
    check("", &[&own], "nobody approves their own");
    check("", &[&approve("owners = \"EMPTY\"")], "gives no path");
    check("", &[&approve("owners = \"FULL\"")], "paths without owners");
    let allow = "refs = [\"refs/heads/**\"]\neffect = \"allow\"";
    check("", &[allow, deny_main], "rule 'r0': it changes nothing");
    let all = approve("approvers = [\"group:m\"]");
    check(
        "",
        &[&all, "refs = [\"refs/heads/*\"]\neffect = \"deny\""],
        "rule 'r1' denies",
    );
}
