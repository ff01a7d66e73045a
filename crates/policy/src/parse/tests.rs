//! What is taken, what is refused, and where the error points.

use super::*;

const GOOD: &str = r#"
version = 1
[[rule]]
id = "main"
refs = ["refs/heads/main"]
effect = "require_approval"
approvers = ["group:maintainers"]
"#;

/// Every key there is.
const ALL: &str = r#"
version = 1
[default]
effect = "deny"
[secrets]
effect = "deny"
rules = ["RULES", "gitleaks.toml"]
gitleaks_default = "default.toml"
generic = true
allow_comments = true
ignore = ["IGNORE"]
repository_ignore = true
enforce = ["generic-*"]
evaluate = ["corp-*"]
off = ["noisy-*"]
[[secret_owner]]
id = "platform"
description = "theirs"
rules = ["corp-*"]
repositories = ["team/platform"]
approvers = ["group:platform"]
quorum = 3
longest_exception = "7d"
[[secret_allow]]
rule = "corp-token"
fingerprint = "0000000000000000000000000000000000000000000000000000000000000000"
description = "an example of the manual"
repositories = ["team/manual"]
paths = ["doc/**"]
[[rule]]
id = "all"
description = "everything"
repositories = ["team/**"]
exclude_repositories = ["team/sandbox"]
properties = { tier = ["production"] }
refs = ["refs/heads/**"]
exclude = ["refs/heads/dev/**"]
default_branch = false
on = ["create", "fast-forward", "non-fast-forward", "delete", "tag-move"]
issuers = ["https://id.example"]
actors = ["group:a", "user:b", "email:c@example.org", "kind:agent"]
exclude_actors = ["group:d"]
behalf_of = ["group:e"]
claims = { environment = ["prod*"] }
paths = ["src/"]
exclude_paths = ["*.md"]
require = ["linear-history", "signed-commits", "signed-tags", "signed-push", "annotated-tags", "sign-off", "author-is-pusher", "committer-is-pusher"]
forbid = ["binary", "submodule", "symlink", "executable"]
signature_kinds = ["gpg", "ssh", "x509"]
signers = ["*@example.org"]
ref_must_match = ["^refs/heads/[a-z/-]+$"]
ref_must_not_match = ["wip"]
message_must_match = ["(?i)^[A-Z]+-[0-9]+: "]
message_must_not_match = ["fixup!"]
author_email = ["*@example.org"]
committer_email = ["*@example.org"]
max_path_length = 200
forbidden_extensions = ["exe", "tar.gz"]
max_file_size = "10 MiB"
lfs = ["*.psd"]
max_commits = 100
max_files = 50
max_changed_lines = 5000
max_refs = 5
max_pushes_per_hour = 20
max_pushes_per_day = 100
effect = "require_approval"
mode = "evaluate"
bypass = ["group:release"]
quorum = 2
approvers = ["group:maintainers", "email:x@example.org"]
owners = "CODEOWNERS"
expires = "7d"
bind = "patch"
questions = ["Did you run it?"]
break_glass = ["group:oncall"]
grants = ["group:leads"]
longest_grant = "2h"
authors_may_approve = true
[rule.when]
time_zone = "Europe/Berlin"
weekdays = ["sat", "sun"]
hours = ["22:00-06:00"]
windows = [{ from = "2026-12-20", until = "2027-01-02T08:00" }]
outside = true
[rule.secrets]
rules = ["aws-*"]
confidence = "medium"
modes = ["enforce", "evaluate"]
places = ["blob", "commit"]
pre_existing = true
[[rule.all_of]]
approvers = ["group:security"]
quorum = 2
[[rule.all_of]]
approvers = ["user:ada"]
"#;

const OWN_RULES: &str = r#"
provider = "Corp"
[[rule]]
id = "corp-key"
description = "A key of ours"
keywords = ["corpkey_"]
pattern = 'corpkey_[a-z]{8}'
severity = "high"
confidence = "high"
"#;

const GITLEAKS: &str = r#"
title = "ours"
[[rules]]
id = "corp-token"
regex = '''corptok_[a-z]{8}'''
keywords = ["corptok_"]
"#;

fn parse(text: &str) -> Result<Policy, PolicyError> {
    let read = |file: &str, name: &str| match name {
        "CODEOWNERS" => Ok("* @acme/all\n".to_owned()),
        "RULES" => Ok(OWN_RULES.to_owned()),
        "gitleaks.toml" => Ok(GITLEAKS.to_owned()),
        "default.toml" => Ok(GITLEAKS.replace("corp", "base")),
        "IGNORE" => Ok("a.env:corp-token:3\n".to_owned()),
        "BROKEN" => Ok("* @acme/all\n* nobody\n".to_owned()),
        _ => Err(format!("no such file beside {file}")),
    };
    Policy::parse_with(&[("p.toml", text)], &read)
}

#[test]
fn layout_does_not_change_the_hash_and_meaning_does() {
    let one = Policy::parse(&[("a", GOOD)]).unwrap();
    let spaced = GOOD.replace('\n', "\n\n");
    assert_eq!(one.hash(), Policy::parse(&[("b", &spaced)]).unwrap().hash());
    let other = GOOD.replace("maintainers", "owners");
    assert_ne!(one.hash(), Policy::parse(&[("a", &other)]).unwrap().hash());
    assert_eq!(one.secrets, Effect::Deny);
    assert_eq!(one.default, Effect::Allow);
    let default = format!("{GOOD}[default]\neffect = \"deny\"\n");
    assert_ne!(one.hash(), parse(&default).unwrap().hash());
}

#[test]
fn every_key_is_part_of_the_hash() {
    let all = parse(ALL).unwrap();
    let mut left_out = 0;
    for line in ALL.lines().filter(|line| line.contains(" = ")) {
        // Without the line the file says something else, or is refused.
        let without = ALL.replacen(line, "", 1);
        if let Ok(other) = parse(&without) {
            let same = other.hash() == all.hash();
            // All kinds are what a rule is about unless it says so.
            let silent = line.starts_with("description") || line.starts_with("on = ");
            assert_eq!(same, silent, "{line}");
            left_out += 1;
        }
    }
    assert!(left_out > 40, "{left_out}");
}

#[test]
fn files_merge_and_the_stricter_table_holds() {
    let deny = "version = 1\n[secrets]\neffect = \"deny\"\n[default]\neffect = \"deny\"\n";
    let allow = deny.replace("deny", "allow");
    for files in [[("a", deny), ("b", &allow)], [("b", &allow), ("a", deny)]] {
        let policy = Policy::parse(&files).unwrap();
        assert_eq!(
            (policy.secrets, policy.default),
            (Effect::Deny, Effect::Deny)
        );
    }
    assert_eq!(parse(&allow).unwrap().secrets, Effect::Allow);
    let twice = Policy::parse(&[("a", GOOD), ("b", GOOD)]).unwrap_err();
    assert_eq!(twice.file, "b");
    assert!(twice.problem.contains("used twice"));
}

/// Each row replaces the first text by the second and expects the error in a line.
#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (from, to, line, problem) in [
        ("version = 1", "version = 2", 2, "expected version = 1"),
        ("effect", "efect", 6, "unknown field"),
        (
            "refs/heads/main",
            "main",
            5,
            "write refs/heads/main or refs/tags/main",
        ),
        ("refs/heads/main", "heads/main", 5, "write refs/heads/main"),
        ("refs/heads/main", "*", 5, "begins with refs/"),
        ("[\"refs/heads/main\"]", "[]", 4, "at least one ref glob"),
        (
            "\"group:maintainers\"",
            "\"maintainers\"",
            7,
            "expected one of group:NAME",
        ),
        (
            "\"group:maintainers\"",
            "\"kind:human\"",
            7,
            "expected one of group:NAME",
        ),
        ("\"group:maintainers\"", "", 4, "needs approvers"),
        ("\"main\"", "\"Main Rule\"", 4, "rule id"),
        ("\"main\"", "\"\"", 4, "rule id"),
        ("require_approval", "refuse", 6, "unknown variant"),
        (
            "require_approval",
            "deny",
            4,
            "approvers goes with require_approval only",
        ),
    ] {
        let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert_eq!(
            (error.file.as_str(), error.line),
            ("p.toml", line),
            "{error}"
        );
        assert!(error.problem.contains(problem), "{error}");
    }
}

/// Each row is put as line 6 into a rule that is good without it.
#[test]
fn keys_are_checked() {
    for (added, line, problem) in [
        ("on = [\"push\"]", 6, "on: expected create"),
        ("on = [\"no-op\"]", 6, "on: expected create"),
        ("quorum = 0", 4, "quorum"),
        ("quorum = -1", 6, "expected u32"),
        ("actors = [\"kind:robot\"]", 6, "expected one of"),
        ("actors = [\"group:\"]", 6, "expected one of"),
        ("mode = \"warn\"", 6, "unknown variant"),
        ("require = [\"signed\"]", 6, "unknown variant"),
        ("forbid = [\"gifs\"]", 6, "unknown variant"),
        (
            "signers = [\"a\"]",
            4,
            "signers and signature_kinds go with",
        ),
        (
            "require = [\"signed-tags\"]\nsignature_kinds = [\"pgp\"]",
            7,
            "expected gpg, ssh",
        ),
        (
            "message_must_match = [\"(\"]",
            6,
            "expected a regular expression",
        ),
        (
            "message_must_match = [\"(a{1000}){1000}\"]",
            6,
            "expected a regular expression",
        ),
        (
            "max_file_size = \"10 MB\"",
            6,
            "max_file_size: expected bytes",
        ),
        ("max_file_size = -1", 6, "did not match any variant"),
        ("forbidden_extensions = [\".exe\"]", 6, "without dot"),
        ("max_files = \"ten\"", 6, "invalid type"),
        ("expires = \"soon\"", 6, "expires: expected"),
        ("bind = \"tree\"", 6, "unknown variant"),
        ("questions = [\"\"]", 6, "questions: expected"),
        ("paths = [\"\"]", 6, "it is empty"),
        ("owners = \"NONE\"", 6, "no such file beside p.toml"),
        ("claims = [\"x\"]", 6, "invalid type"),
        ("when = {}", 6, "expected weekdays, hours or windows"),
        ("when = { weekdays = [\"monday\"] }", 6, "expected mon"),
        ("when = { hours = [\"9-17\"] }", 6, "09:00-17:30"),
        (
            "when = { hours = [\"09:00-17:00\"], time_zone = \"CEST/x\" }",
            6,
            "IANA",
        ),
        (
            "when = { windows = [{ from = \"2026-02-30\", until = \"2027-01-01\" }] }",
            6,
            "until after",
        ),
        ("when = { months = [1] }", 6, "unknown field"),
        (
            "all_of = [{ approvers = [] }]",
            6,
            "all_of: expected approvers",
        ),
        ("secrets = { confidence = \"sure\" }", 6, "unknown variant"),
        ("bypass = [\"everyone\"]", 6, "expected one of"),
    ] {
        let text = GOOD.replacen("effect =", &format!("{added}\neffect ="), 1);
        let error = parse(&text).unwrap_err();
        assert_eq!(error.line, line, "{added}: {error}");
        assert!(error.problem.contains(problem), "{added}: {error}");
    }
    let allow = "version = 1\n[[rule]]\nid = \"a\"\nrefs = [\"**\"]\neffect = \"allow\"\n";
    assert!(parse(allow).is_ok());
    for added in [
        "max_files = 1",
        "secrets = {}",
        "bypass = [\"user:a\"]",
        "quorum = 1",
    ] {
        assert_eq!(
            parse(&format!("{allow}{added}\n")).unwrap_err().line,
            3,
            "{added}"
        );
    }
}

#[test]
fn an_owners_file_is_held_to_its_own_lines() {
    let text = GOOD.replacen("effect =", "owners = \"BROKEN\"\neffect =", 1);
    let error = parse(&text).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("BROKEN", 2));
    assert!(Policy::parse(&[("p", &text)]).is_err());
}

#[test]
fn hostile_files_are_errors_and_nothing_worse() {
    let deep = format!(
        "version = 1\nx = {}1{}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let long = GOOD.replace("refs/heads/main", &format!("refs/{}", "*".repeat(5000)));
    let bomb = GOOD.replace("refs/heads/main", &format!("refs/{}", "*?".repeat(500)));
    for text in [
        "",
        "\0",
        "version",
        "version = 1e400",
        "[[rule",
        &deep,
        &long,
    ] {
        assert!(parse(text).is_err());
    }
    // However the wildcards stand, matching is linear in the name.
    if let Ok(policy) = parse(&bomb) {
        assert!(!policy.rules[0].scope.refs[0].is_match(&[b'/'; 4096]));
    }
}

/// Each row is put into `[secrets]` and expects an error in a file and line.
#[test]
fn files_of_rules_are_tried() {
    let read = |_: &str, name: &str| {
        let own = |from: &str, to: &str| Ok(OWN_RULES.replacen(from, to, 1));
        match name {
            "severity" => own("\"high\"", "\"dire\""),
            "pattern" => own("corpkey_[a-z]{8}", "corpkey_["),
            "large" => own("[a-z]{8}", "[a-z]{1,60000}"),
            "key" => own("pattern", "patern"),
            "taken" => own("corp-key", "github-pat"),
            "neither" => Ok("title = \"x\"\n".to_owned()),
            "broken" => Ok("[[rules]\n".to_owned()),
            "empty" => Ok("[allowlist]\npaths = [\"x\"]\n".to_owned()),
            "go" => Ok(GITLEAKS.replace("[a-z]{8}", "(?=x)")),
            "group" => Ok(format!("{GITLEAKS}secretGroup = 2\n")),
            "base" => Ok("[extend]\npath = \"nowhere.toml\"\n".to_owned()),
            "default" => Ok("[extend]\nuseDefault = true\n".to_owned()),
            "10m" => Ok("#\n".repeat(5 << 20)),
            "below10m" => Ok("[extend]\npath = \"10m\"\n".to_owned()),
            many if many.starts_with("many") => Ok(format!(
                "{}{}",
                "#\n".repeat(400 << 10),
                OWN_RULES.replace("corp", many)
            )),
            "below" => Ok("[extend]\npath = \"go\"\n".to_owned()),
            "gitleaks.toml" => Ok(GITLEAKS.to_owned()),
            _ => Err("No such file".to_owned()),
        }
    };
    let parse = |added: &str| {
        let text = format!("version = 1\n[secrets]\n{added}\n");
        Policy::parse_with(&[("p.toml", &text)], &read)
    };
    for (added, file, line, problem) in [
        (
            "rules = [\"missing\"]",
            "p.toml",
            3,
            "rules 'missing': No such file",
        ),
        (
            "rules = [\"severity\"]",
            "severity",
            8,
            "unknown variant `dire`",
        ),
        (
            "rules = [\"pattern\"]",
            "pattern",
            7,
            "not a regular expression",
        ),
        ("rules = [\"large\"]", "large", 7, "too large"),
        ("rules = [\"key\"]", "key", 7, "unknown field `patern`"),
        (
            "rules = [\"taken\"]",
            "taken",
            4,
            "stands already in the default rules",
        ),
        ("rules = [\"neither\"]", "neither", 1, "expected rules"),
        ("rules = [\"broken\"]", "broken", 1, ""),
        ("rules = [\"empty\"]", "empty", 1, "at least one rule"),
        ("rules = [\"go\"]", "go", 5, "not a regular expression"),
        ("rules = [\"group\"]", "group", 4, "expected 0 to 0"),
        (
            "rules = [\"base\"]",
            "base",
            2,
            "extend nowhere.toml: No such file",
        ),
        ("rules = [\"below\"]", "go", 5, "not a regular expression"),
        ("rules = [\"default\"]", "default", 1, "gitleaks_default"),
        (
            "rules = [\"10m\"]",
            "p.toml",
            3,
            "it has 10485760 bytes; expected at most 1048576",
        ),
        ("ignore = [\"10m\"]", "p.toml", 3, "ignore '10m': it has"),
        (
            "rules = [\"below10m\"]",
            "below10m",
            2,
            "10m: it has 10485760",
        ),
        (
            "rules = [\"many1\", \"many2\", \"many3\", \"many4\", \"many5\", \"many6\"]",
            "many6",
            1,
            "expected at most 4194304",
        ),
        ("ignore = [\"missing\"]", "p.toml", 3, "ignore 'missing'"),
        (
            "gitleaks_default = \"missing\"",
            "p.toml",
            3,
            "gitleaks_default 'missing'",
        ),
        (
            "[[secret_owner]]\nid = \"a\"\napprovers = []",
            "p.toml",
            3,
            "expected approvers",
        ),
        (
            "[[secret_owner]]\nid = \"a\"\napprovers = [\"appsec\"]",
            "p.toml",
            5,
            "expected one of group:NAME",
        ),
        (
            "[[secret_owner]]\nid = \"a\"\napprovers = [\"user:a\"]\nlongest_exception = \"9999d\"",
            "p.toml",
            6,
            "longest_exception: expected a time",
        ),
        (
            "[[secret_owner]]\nid = \"a\"\napprovers = [\"user:a\"]\nquorum = 0",
            "p.toml",
            3,
            "quorum: expected 1 or more",
        ),
        (
            "[[secret_allow]]\nrule = \"r\"\nfingerprint = \"ABC\"",
            "p.toml",
            5,
            "64 lower-case hexadecimal digits",
        ),
    ] {
        let error = parse(added).unwrap_err();
        assert_eq!(
            (error.file.as_str(), error.line),
            (file, line),
            "{added}: {error}"
        );
        assert!(error.problem.contains(problem), "{added}: {error}");
    }
    let both = "rules = [\"default\"]\ngitleaks_default = \"gitleaks.toml\"";
    let policy = parse(both).unwrap();
    assert!(policy.scanning.digest.is_some());
    assert_eq!(parse("rules = []").unwrap().scanning.digest, None);
}

#[test]
fn an_explicit_no_to_comments_beats_a_yes_of_another_file() {
    let file = |said: &str| format!("version = 1\n[secrets]\nallow_comments = {said}\n");
    let (yes, no) = (file("true"), file("false"));
    for (files, expected) in [
        (vec![("a", yes.as_str())], true),
        (vec![("a", &yes), ("b", &no)], false),
        (vec![("a", &no), ("b", &yes)], false),
        (vec![("a", GOOD)], false),
    ] {
        let policy = Policy::parse(&files).unwrap();
        assert_eq!(policy.scanning.allow_comments, expected);
    }
}
