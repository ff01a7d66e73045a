//! `gitleaks.toml` files through the front door: what loads, what is refused, what is found.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use refwarden_scan::gitleaks::{self, Base, Ignore, Loaded};
use refwarden_scan::{Finding, FingerprintKey, Ruleset, Scanner};

fn nothing(base: Base<'_>) -> Result<String, String> {
    Err(format!("{base:?} was not expected"))
}

fn load(text: &str) -> Loaded {
    gitleaks::load(text, "gitleaks.toml", nothing).unwrap()
}

fn scan(config: &str, path: &str, text: &str) -> Vec<Finding> {
    let loaded = load(config);
    let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32]));
    scanner.scan(text.as_bytes(), Some(path.as_bytes()))
}

fn places(findings: &[Finding]) -> Vec<String> {
    let mut places: Vec<String> = findings
        .iter()
        .map(|one| format!("{}:{}", one.rule_id, one.match_line))
        .collect();
    places.sort();
    places
}

#[track_caller]
fn check(config: &str, path: &str, text: &str, expected: &[&str]) {
    assert_eq!(places(&scan(config, path, text)), expected, "{config}");
}

const TOKEN: &str = r"
[[rules]]
id = 'token'
regex = 'tok_([a-z0-9]{8})'
keywords = ['TOK_']
";

fn with(more: &str) -> String {
    format!("{TOKEN}{more}")
}

#[test]
fn keywords_may_stand_anywhere_in_the_text() {
    let config = r"
[[rules]]
id = 'far'
regex = '\b[0-9]{12}\b'
keywords = ['Provider']
";
    check(config, "a", "id 012345678912\n\nPROVIDER", &["far:1"]);
    check(config, "a", "id 012345678912\n\nsupplier", &[]);
    let long = format!("012345678912{}provider", "\nline".repeat(200_000));
    check(config, "a", &long, &["far:1"]);
}

#[test]
fn the_secret_is_the_stated_or_the_first_group_that_holds_anything() {
    let rule = |more: &str| {
        format!("[[rules]]\nid = 'g'\nregex = '(zz)?k=(a+)-(b+)'\nkeywords = ['k=']\n{more}")
    };
    for (more, secret) in [
        ("", "aa"),
        ("secretGroup = 3", "bb"),
        ("secretgroup = '2'", "aa"),
    ] {
        let findings = scan(&rule(more), "a", "\nk=aa-bb");
        assert_eq!(findings[0].secret.expose(), secret.as_bytes(), "{more}");
        assert_eq!(
            (findings[0].line, findings[0].column),
            (2, 3 + u64::from(secret == "bb") * 3)
        );
    }
}

#[test]
fn entropy_must_be_exceeded() {
    let rule = |entropy: &str| {
        format!(
            "[[rules]]\nid = 'e'\nregex = 'key=(\\S+)'\nentropy = {entropy}\nkeywords = ['key']"
        )
    };
    check(&rule("2"), "a", "key=abcd", &[]);
    check(&rule("1.99"), "a", "key=abcd", &["e:1"]);
    check(&rule("'1.99'"), "a", "key=abcd", &["e:1"]);
}

#[test]
fn allow_lists_of_a_rule() {
    let text = "x = tok_abcd1234 # note";
    for (list, expected) in [
        ("regexes = ['^abc']", 0),
        ("regexes = ['^tok']", 1),
        ("regexes = ['^tok']\nregexTarget = 'match'", 0),
        ("regexes = ['note$']\nregexTarget = 'line'", 0),
        ("regexes = ['note$']\nregexTarget = 'secret'", 1),
        ("stopwords = ['CD12']", 0),
        ("stopwords = ['tok_']", 1),
        ("paths = ['\\.rs$']", 0),
        ("paths = ['\\.go$']", 1),
        ("paths = ['\\.go$']\nstopwords = ['abc']", 0),
        (
            "condition = 'AND'\npaths = ['\\.go$']\nstopwords = ['abc']",
            1,
        ),
        (
            "condition = 'and'\npaths = ['\\.rs$']\nstopwords = ['abc']",
            0,
        ),
        (
            "condition = '&&'\npaths = ['\\.rs$']\nstopwords = ['xyz']",
            1,
        ),
        ("condition = 'AND'\npaths = ['\\.rs$']", 0),
        ("commits = ['c0ffee']", 1),
    ] {
        let expected: &[&str] = if expected == 1 { &["token:1"] } else { &[] };
        check(
            &with(&format!("[[rules.allowlists]]\n{list}")),
            "src/a.rs",
            text,
            expected,
        );
        check(
            &with(&format!("[rules.allowlist]\n{list}")),
            "src/a.rs",
            text,
            expected,
        );
        check(
            &format!("[[allowlists]]\n{list}\n{TOKEN}"),
            "src/a.rs",
            text,
            expected,
        );
        check(
            &format!("[Allowlist]\n{list}\n{TOKEN}"),
            "src/a.rs",
            text,
            expected,
        );
        let target = format!("[[allowlists]]\ntargetRules = ['token']\n{list}\n{TOKEN}");
        check(&target, "src/a.rs", text, expected);
    }
}

#[test]
fn flags_of_a_joined_pattern_hold_for_those_after_it() {
    let list = "[[rules.allowlists]]\nregexes = ['(?i)^zzz$', '^ABCD']";
    check(&with(list), "a", "tok_abcd1234", &[]);
    let list = "[[rules.allowlists]]\nregexes = ['^ABCD', '(?i)^zzz$']";
    check(&with(list), "a", "tok_abcd1234", &["token:1"]);
}

#[test]
fn commits_are_known_only_where_named() {
    let config = with("[[rules.allowlists]]\ncommits = [' C0FFEE ']");
    let loaded = load(&config);
    let scanner =
        |commit| Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32])).in_commit(commit);
    assert_eq!(scanner("c0FFee").scan(b"tok_abcd1234", None).len(), 0);
    assert_eq!(scanner("c0ffe0").scan(b"tok_abcd1234", None).len(), 1);
}

#[test]
fn folders_are_skipped_by_global_paths() {
    let loaded = load(&format!("[allowlist]\npaths = ['(^|/)\\.git$']\n{TOKEN}"));
    assert!(loaded.ruleset.skips_folder(b"a/.git"));
    assert!(!loaded.ruleset.skips_folder(b"a/b"));
    assert!(!Ruleset::builtin().unwrap().skips_folder(b"a/.git"));
}

#[test]
fn rules_with_a_path() {
    let config = r"
[[rules]]
id = 'only-path'
path = '\.p12$'
[[rules]]
id = 'both'
path = '\.py$'
regex = 'zq[0-9]{4}'
";
    check(config, "a/b.p12", "anything", &["only-path:0"]);
    check(config, "a/b.p12", "", &[]);
    check(config, "a/b.py", "\nzq1234", &["both:2"]);
    check(config, "a/b.go", "\nzq1234", &[]);
    let finding = &scan(config, "a/b.p12", "anything")[0];
    assert_eq!((finding.line, finding.column), (1, 1));
    assert!(finding.secret.expose().is_empty());
    let other = &scan(config, "c.p12", "anything")[0];
    assert_ne!(finding.fingerprint, other.fingerprint);
}

#[test]
fn composite_rules() {
    let config = |required: &str, more: &str| {
        format!(
            "[[rules]]\nid = 'main'\nregex = 'pw=([a-z]+)'\n[[rules.required]]\nid = 'aux'\n{required}
[[rules]]\nid = 'aux'\nregex = 'user=([a-z]+)'\nkeywords = ['never there']\n{more}"
        )
    };
    let text = "user=bob\n\n\n   pw=secret";
    // Required rules need no keyword to be found, but one to report.
    check(&config("", ""), "a", text, &["main:4"]);
    check(&config("", "skipReport = true"), "a", text, &["main:4"]);
    check(&config("withinLines = 3", ""), "a", text, &["main:4"]);
    check(&config("withinLines = 2", ""), "a", text, &[]);
    // gitleaks counts columns from 2 behind the first line.
    check(&config("withinColumns = 4", ""), "a", text, &["main:4"]);
    check(&config("withinColumns = 3", ""), "a", text, &[]);
    check(&config("", ""), "a", "pw=secret", &[]);
    let both = "withinLines = 3\nwithinColumns = 4";
    check(&config(both, ""), "a", text, &["main:4"]);
    check(
        &config("withinLines = 3\nwithinColumns = 3", ""),
        "a",
        text,
        &[],
    );
}

#[test]
fn generic_rules_give_way_in_their_line() {
    let config = with("[[rules]]\nid = 'My-Generic'\nregex = 'key=\\S*_([a-z0-9]+)'");
    let text = "key=tok_abcd1234\nkey=pre_abcd1234";
    check(&config, "a", text, &["My-Generic:2", "token:1"]);
}

#[test]
fn generic_rules_give_way_to_no_match_of_another_line() {
    let config = "[[rules]]\nid = 'block'\nregex = 'BEGIN[^-]*END'
[[rules]]\nid = 'generic'\nregex = 'key=([a-z]+)'";
    check(
        config,
        "a",
        "BEGIN\nkey=abc\nEND",
        &["block:1", "generic:2"],
    );
    check(config, "a", "BEGIN key=abc\nEND", &["block:1"]);
}

#[test]
fn generic_rules_give_way_among_many() {
    let config = "[[rules]]\nid = 'number'\nregex = 'n=([0-9a-z]+)'
[[rules]]\nid = 'generic'\nregex = '=([0-9a-z]+)'";
    let tokens: Vec<String> = (0..1000).map(|n| format!("n={n}x ")).collect();
    let findings = scan(config, "a", &tokens.concat());
    assert_eq!(findings.len(), 1000);
    assert!(findings.iter().all(|one| &*one.rule_id == "number"));
}

#[test]
fn line_ends_are_cut_off_and_count_to_the_line_behind() {
    let config = "[[rules]]\nid = 'n'\nregex = '\\n*zq[0-9]+\\n'\n";
    let findings = scan(config, "a", "one\n\nzq1234\nend");
    assert_eq!(findings[0].secret.expose(), b"zq1234");
    assert_eq!((findings[0].match_line, findings[0].line), (2, 3));
}

#[test]
fn a_comment_acquits_its_line() {
    let text = "a tok_abcd1234 gitleaks:allow\nb tok_abcd1235\ngitleaks:allow";
    check(TOKEN, "a", text, &["token:2"]);
    let loaded = load(TOKEN);
    let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32])).keep_allowed();
    let comments: Vec<bool> = scanner
        .scan(text.as_bytes(), None)
        .iter()
        .map(|one| one.allow_comment)
        .collect();
    assert_eq!(comments, [true, false]);
}

#[test]
fn ignored_places() {
    let (ignore, notes) = Ignore::parse(
        "# known\n\n dir\\a.rs:token:1 \nc0ffee:dir/a.rs:token:2\nno:entry\n",
        ".gitleaksignore",
    );
    assert_eq!(
        notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [".gitleaksignore:5: expected file:rule:line or commit:file:rule:line"]
    );
    let findings = scan(TOKEN, "dir/a.rs", "tok_abcd1234\ntok_abcd1235");
    let [first, second] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    let path = b"dir/a.rs";
    assert_eq!(ignore.covers(first, path, None), Some("dir/a.rs:token:1"));
    assert!(ignore.covers(first, path, Some("abc")).is_some());
    assert!(ignore.covers(first, b"a.rs", None).is_none());
    assert!(ignore.covers(second, path, None).is_none());
    assert!(ignore.covers(second, path, Some("c0ffe0")).is_none());
    assert_eq!(
        ignore.covers(second, path, Some("c0ffee")),
        Some("c0ffee:dir/a.rs:token:2")
    );
}

#[test]
fn extending_a_file() {
    let base = r"
[[allowlists]]
stopwords = ['dummy']
[[rules]]
id = 'a'
regex = 'aaa_([a-z]+)'
keywords = ['aaa_']
[[rules]]
id = 'b'
description = 'base'
regex = 'bbb_([a-z]+)'
keywords = ['bbb_']
[[rules]]
id = 'c'
regex = 'ccc_([a-z]+)'
keywords = ['ccc_']
";
    let resolve = |wanted: Base<'_>| match wanted {
        Base::Default | Base::Path("base.toml") => Ok(base.to_owned()),
        Base::Path(_) => Err("there is no such file".to_owned()),
    };
    let own = r"
disabledRules = ['c', 'nope']
[[rules]]
id = 'b'
entropy = 1.5
tags = ['mine']
keywords = ['more']
[[rules]]
id = 'd'
regex = 'ddd_([a-z]+)'
";
    let text = b"aaa_xyz bbb_xxx bbb_xyzt ccc_xyz ddd_xyz aaa_dummy";
    for extend in [
        "[extend]\nuseDefault = true",
        "[extend]\npath = 'base.toml'",
    ] {
        let loaded = gitleaks::load(&format!("{extend}{own}"), "own.toml", resolve).unwrap();
        let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32]));
        let findings = scanner.scan(text, None);
        assert_eq!(places(&findings), ["a:1", "b:1", "d:1"]);
        assert!(findings.iter().any(|one| &*one.description == "base"));
        let notes: Vec<String> = loaded.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("own.toml:3: disabledRules"));
        // Those of the file that is extended it has as well.
        assert!(notes[1].starts_with("own.toml:10: rule \"d\" has no keywords"));
    }
    let error = |text: &str| {
        gitleaks::load(text, "own.toml", resolve)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("[extend]\n\npath = 'other.toml'"),
        "own.toml:3: extend other.toml: there is no such file"
    );
    assert!(error("[extend]\npath = 'base.toml'\nuseDefault = true").contains("not both"));
}

#[test]
fn extending_ends() {
    let loop_of = |wanted: Base<'_>| match wanted {
        Base::Path(path) => Ok(format!("[extend]\npath = '{path}x'\n{TOKEN}")),
        Base::Default => Err("not asked for".to_owned()),
    };
    let loaded = gitleaks::load("[extend]\npath = 'x'", "own.toml", loop_of).unwrap();
    assert_eq!(
        loaded.notes[0].to_string(),
        "xx:2: extend has no effect: more than 2 files deep"
    );
}

#[test]
fn faults_are_told_with_file_and_line() {
    let rule = |lines: &str| format!("title = 't'\n[[rules]]\nid = 'r'\n{lines}");
    for (text, expected) in [
        ("a = ".to_owned(), "f.toml:1: "),
        (
            "rules = 3".to_owned(),
            "f.toml:1: rules: expected a list of tables, found integer",
        ),
        (
            rule("regex = ['a']"),
            "f.toml:4: regex: expected a text, found array",
        ),
        (
            rule("regex = 'a'\nkeywords = [[]]"),
            "f.toml:5: keywords: expected a text, found array",
        ),
        (
            rule("regex = 'a'\nentropy = 'high'"),
            "f.toml:5: entropy: expected a number",
        ),
        (
            rule("regex = 'a'\nsecretGroup = -1"),
            "f.toml:5: secretGroup: expected a whole number, 0 or more",
        ),
        (
            rule("regex = 'a'\nsecretGroup = 1"),
            "f.toml:3: rule \"r\": secretGroup: expected 0 to 0",
        ),
        (
            rule("regex = 'a'\nskipReport = 3"),
            "f.toml:5: skipReport: expected true or false, found integer",
        ),
        (
            rule(""),
            "f.toml:3: rule \"r\": regex: expected regex or path",
        ),
        (
            "[[rules]]\nregex = 'a'".to_owned(),
            "f.toml:1: rule \"\": id: expected a name",
        ),
        (
            rule("\nregex = '(?=a)'"),
            "f.toml:5: rule \"r\": regex is not a regular expression: Go knows no (?=",
        ),
        (
            rule("regex = 'a('"),
            "f.toml:4: rule \"r\": regex is not a regular expression",
        ),
        (
            rule("path = 'a**'\nregex = 'a'"),
            "f.toml:4: rule \"r\": path is not a regular expression",
        ),
        (
            rule("regex = '(?:[a-z]{1000}){900}'"),
            "f.toml:4: rule \"r\": regex is too large",
        ),
        (
            rule("regex = 'a'\n[[rules.required]]\nid = 'x'"),
            "f.toml:5: required: expected the id of a rule of this file, found \"x\"",
        ),
        (
            rule("regex = 'a'\n[[rules.required]]\nwithinLines = 3"),
            "f.toml:5: required: expected the id of a rule",
        ),
        (
            rule("regex = 'a'\n[[rules.allowlists]]"),
            "f.toml:5: an empty allow-list",
        ),
        (
            rule("regex = 'a'\n[rules.allowlist]\npaths = ['a','\\8']"),
            "f.toml:6: rule \"r\": allowlist paths is not a regular expression",
        ),
        (
            rule("regex = 'a'\n[[rules.allowlists]]\npaths = ['a']\ncondition = 'XOR'"),
            "f.toml:5: condition: expected AND or OR, found \"XOR\"",
        ),
        (
            rule("regex = 'a'\n[[rules.allowlists]]\npaths = ['a']\nregexTarget = 'mtach'"),
            "f.toml:5: regexTarget: expected secret, match or line, found \"mtach\"",
        ),
        (
            rule(
                "regex = 'a'\n[rules.allowlist]\npaths = ['a']\n[[rules.allowlists]]\npaths = ['a']",
            ),
            "f.toml:5: [rules.allowlist] is the old form",
        ),
        (
            "[[allowlists]]\ntargetRules = ['x']\npaths = ['a']".to_owned(),
            "f.toml:2: targetRules: expected the id of a rule, found \"x\"",
        ),
    ] {
        let error = gitleaks::load(&text, "f.toml", nothing)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{text}\n{error}");
    }
}

#[test]
fn what_has_no_effect_is_noted() {
    let text = r"
minVersion = 'v9.0.1'
unknown = 1
[extend]
url = 'https://example.org/x'
[[rules]]
id = 'r'
regex = 'a'
keywords = 'abc,é'
[[rules]]
id = 'r'
regex = 'b'
";
    let notes: Vec<String> = load(text).notes.iter().map(ToString::to_string).collect();
    let starts = [
        "gitleaks.toml:2: minVersion v9.0.1",
        "gitleaks.toml:9: rule \"r\": outside ASCII",
        "gitleaks.toml:11: rule \"r\" stands already in line 7",
        "gitleaks.toml:5: extend.url has no effect",
        "gitleaks.toml:11: rule \"r\" has no keywords",
    ];
    assert_eq!(notes.len(), starts.len(), "{notes:?}");
    for (note, start) in notes.iter().zip(starts) {
        assert!(note.starts_with(start), "{note}");
    }
}

#[test]
fn the_id_names_what_is_found() {
    let id = |text: &str| load(text).ruleset.id().to_string();
    let base = id(TOKEN);
    assert_eq!(base, id(&with("description = 'new'\ntags = ['x']")));
    for more in [
        "entropy = 1",
        "path = 'x'",
        "secretGroup = 1",
        "skipReport = true",
        "[[rules.allowlists]]\npaths = ['a']",
        "[[rules.allowlists]]\nregexes = ['a']",
        "[[rules.required]]\nid = 'token'",
    ] {
        assert_ne!(base, id(&with(more)), "{more}");
    }
    let builtin = Ruleset::builtin().unwrap();
    assert_ne!(builtin.id(), load(TOKEN).ruleset.id());
    let both = Ruleset::builtin()
        .unwrap()
        .with_gitleaks([load(TOKEN).ruleset]);
    assert!(both.id() != builtin.id() && both.id().to_string() != base);
}

#[test]
fn both_kinds_of_rules_at_once() {
    let same = "[[rules]]\nid = 'github-pat'\nregex = 'ghp_[0-9a-zA-Z]{36}'\nkeywords = ['ghp_']";
    let ruleset = Ruleset::builtin()
        .unwrap()
        .with_gitleaks([load(TOKEN).ruleset, load(same).ruleset]);
    let scanner = Scanner::new(&ruleset, FingerprintKey::new([7; 32]));
    let text = refwarden_scan::example::expand("ghp_{base62:30}{crc32} tok_abcd1234", 1);
    let findings = scanner.scan(&text, None);
    assert_eq!(places(&findings), ["github-pat:1", "token:1"]);
}

#[test]
fn rules_are_listed() {
    let loaded = load(&with("description = 'a token'\ntags = ['x', 'y']"));
    let rules: Vec<_> = loaded.ruleset.gitleaks_rules().collect();
    assert_eq!(rules.len(), 1);
    assert_eq!((rules[0].id, rules[0].description), ("token", "a token"));
    assert_eq!(
        (rules[0].tags, rules[0].keywords),
        (&["x", "y"].map(str::to_owned)[..], &["tok_".to_owned()][..])
    );
}
