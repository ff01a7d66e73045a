use super::*;
use proptest::prelude::*;

fn now() -> DateTime<Utc> {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

#[track_caller]
fn check(text: &str, expected: &[(bool, Field)]) {
    let expected = expected.iter().map(|(negated, field)| Term {
        negated: *negated,
        any: vec![field.clone()],
    });
    let query = Query {
        terms: expected.collect(),
    };
    assert_eq!(parse(text, now()), Ok(query), "{text}");
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    assert_eq!(parse(text, now()).unwrap_err().to_string(), expected);
}

#[test]
fn queries_are_read() {
    let glob = |text: &str| Glob::new(text);
    check("", &[]);
    check("  \t ", &[]);
    check(
        "repo:payments/* -ref:refs/heads/main actor:kind=agent on-behalf-of:ada",
        &[
            (false, Field::Repository(glob("payments/*"))),
            (true, Field::Ref(glob("refs/heads/main"))),
            (false, Field::ActorKind(ActorKind::Agent)),
            (false, Field::OnBehalfOf(glob("ada"))),
        ],
    );
    check(
        "state:refused rule:secret.github* path:**/*.tf since:7d until:2026-01-31",
        &[
            (false, Field::State(State::Refused)),
            (false, Field::Rule(glob("github*"))),
            (false, Field::Path(glob("**/*.tf"))),
            (false, Field::Since("2026-01-24T12:00:00Z".parse().unwrap())),
            (false, Field::Until("2026-01-31T00:00:00Z".parse().unwrap())),
        ],
    );
    check(
        r#"-"a \"b\" \\ repo:x" path:"a b:c"d ref:a:b kind:push.denied event:3 code:rw201"#,
        &[
            (true, Field::Text(r#"a "b" \ repo:x"#.to_owned())),
            (false, Field::Path(glob("a b:cd"))),
            (false, Field::Ref(glob("a:b"))),
            (false, Field::Kind("push.denied".to_owned())),
            (false, Field::Event(3)),
            (false, Field::Code("RW201".to_owned())),
        ],
    );
    check(
        "request:8fzk2 x-y",
        &[
            (false, Field::Request("8FZK2".to_owned())),
            (false, Field::Text("x-y".to_owned())),
        ],
    );
}

#[test]
fn errors_say_where_and_what() {
    fails(
        "repo:a actor:kind=robot",
        "character 14: expected kind=human, kind=agent or kind=ci, found \"kind=robot\"",
    );
    fails(
        "repo: a",
        "character 6: expected a value after repo:, found \"\"; leave no space behind a colon \
         or a comma",
    );
    fails(
        "a -whose:b",
        &format!(
            "character 4: expected one of {}, found \"whose\"; to look for the text itself, put it \
             in double quotes",
            KEYS.join(", ")
        ),
    );
    fails(
        "é \"open",
        "character 3: expected a quotation mark that ends what begins here, found \"\"; inside \
         quotes, write \\\" for a quotation mark",
    );
    fails(
        "since:yesterday",
        &format!(
            "character 7: expected {}, found \"yesterday\"",
            time::EXPECTED
        ),
    );
    for bad in [
        "-",
        "\"\"",
        "event:0",
        "push:x",
        "since:-1d",
        "since:99999999999999999999d",
        "a\0",
        "ref:a,,b",
        "ref:a,",
        "Ref:a",
        "kind:'",
        "\"\\x\"",
        "state:",
        "(",
        "a|b",
        "actor=ada",
        "refs*",
        "'forced",
        "\u{201c}forced",
        "--a",
        "!a",
        "(repo:a",
        "repo:a OR repo:b",
        "-NOT",
        "kind:.",
        "kind:push.",
        "code:301",
        "code:RW1",
        "rule:secret.",
        "request:a/b",
        "since:1d,2d",
        "since:1d since:2d",
        "until:1d until:1d",
        "since:1d until:2d",
        "since:2026-01-31 until:2026-01-31",
    ] {
        assert!(parse(bad, now()).is_err(), "{bad:?}");
    }
    assert!(parse(&"a ".repeat(33), now()).is_err());
    assert!(parse(&"a".repeat(5000), now()).is_err());
}

#[test]
fn what_another_grammar_would_understand_is_not_taken_for_text() {
    let side_by_side = "; terms stand side by side and all hold; alternatives are separated by commas \
                        (state:refused,waiting), and a minus sign stands before what must not hold";
    fails(
        "(",
        &format!("character 1: expected a term or a word, found \"(\"{side_by_side}"),
    );
    fails(
        "repo:a OR repo:b",
        &format!("character 8: expected a term or a word, found \"OR\"{side_by_side}"),
    );
    fails(
        "a actor=ada",
        "character 8: expected a term or a word, found \"=\"; a colon stands behind a key \
         (actor:ada), and since: and until: are before times; to look for the text itself, put it in \
         double quotes",
    );
    // In quotes all of it is text, and in values it is part of a name.
    for (text, word) in [
        ("\"(a|b)\"", "(a|b)"),
        ("\"OR\"", "OR"),
        ("don't", "don't"),
        ("or", "or"),
        ("x-y_z.", "x-y_z."),
    ] {
        check(text, &[(false, Field::Text(word.to_owned()))]);
    }
    check(
        "ref:refs/heads/a(b)=c",
        &[(false, Field::Ref(Glob::new("refs/heads/a(b)=c")))],
    );
}

#[test]
fn times_are_one_span_in_its_order() {
    fails(
        "since:7d a since:1d",
        "character 12: expected one time after one since:, found \"another\"; leave one of them",
    );
    fails(
        "until:7d,1d",
        "character 10: expected one time after one until:, found \"another\"; leave one of them",
    );
    fails(
        "until:7d since:1d",
        "character 7: expected a time after that of since:, found \"7d\"; until: means before it; to \
         have a day whole, name the next one",
    );
    assert!(parse("since:7d until:1d -since:2d -until:3d", now()).is_ok());
}

#[test]
fn alternatives_are_cut_at_commas_outside_quotes() {
    let parsed = parse(r#"-ref:a,"b,c",d* x,y"#, now()).unwrap();
    let refs = ["a", "b,c", "d*"].map(|text| Field::Ref(Glob::new(text)));
    let [first, second] = &parsed.terms[..] else {
        panic!("{parsed:?}");
    };
    assert_eq!((first.negated, &first.any[..]), (true, &refs[..]));
    assert_eq!(second.any, [Field::Text("x,y".to_owned())]);
    fails(
        "code:RW101,RW102 state:refused,lost",
        "character 32: expected refused, waiting, released, cancelled, committed, prepared or \
         not-moved, found \"lost\"",
    );
    let many = format!("ref:{}", vec!["a"; 65].join(","));
    assert!(parse(&many, now()).is_err());
    assert!(parse(&many[..many.len() - 2], now()).is_ok());
}

#[test]
fn a_key_that_is_nearly_one_is_named() {
    for (text, next) in [
        ("rep:a", "the nearest is repo:"),
        ("behalf-of:ada", "double quotes"),
        ("on-behalf:ada", "double quotes"),
        ("onbehalf-of:ada", "the nearest is on-behalf-of:"),
        ("acter:x", "the nearest is actor:"),
        (":x", "double quotes"),
    ] {
        let error = parse(text, now()).unwrap_err().to_string();
        assert!(error.ends_with(next), "{error}");
    }
}

#[test]
fn globs_are_regular_expressions() {
    for (glob, regex) in [
        ("payments/*", r"payments\/[^/]*"),
        ("**/*.tf", r"(?:.*/)?[^/]*\.tf"),
        ("a**", "a.*"),
        ("a?é", "a[^/]é"),
        (r"a\d(", r"a\\d\("),
    ] {
        assert_eq!(Glob::new(glob).regex(), format!("^(?:{regex})$"));
    }
    for (glob, begin, end) in [
        ("**/a*.tf", None, Some(r"^ft\.")),
        ("**/one", None, Some("^eno")),
        ("a/b", Some(r"^a\/"), Some(r"^b\/")),
        ("éx*", Some("^éx"), None),
        ("*", None, None),
    ] {
        let glob = Glob::new(glob);
        assert_eq!(glob.begin_regex(2).as_deref(), begin);
        let end = end.map(ToOwned::to_owned);
        assert_eq!(
            glob.end_regex(if glob.exact().is_some() { 2 } else { 3 }),
            end
        );
    }
    assert_eq!(Glob::new("a(b").exact(), Some("a(b"));
    assert_eq!(Glob::new("a*").exact(), None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = parse(&text, now());
    }

    #[test]
    fn what_looks_like_a_query_does_not_either(
        text in "(-?(repo|ref|kind|since|until|event|push|state|actor):?[a-z0-9*?,.\"\\\\ é-]{0,9} ?){0,40}"
    ) {
        if let Ok(query) = parse(&text, now()) {
            prop_assert!(query.terms.len() <= MOST_TERMS);
            prop_assert!(query.terms.iter().all(|term| !term.any.is_empty()));
        }
    }

    #[test]
    fn quoting_carries_every_text(text in "[^\\x00]{1,40}") {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let expected = Term { negated: false, any: vec![Field::Text(text)] };
        prop_assert_eq!(parse(&format!("\"{quoted}\""), now()).unwrap().terms, vec![expected]);
    }
}

#[test]
fn wildcards_are_counted() {
    let with = |count: usize| format!("path:{}", "a*".repeat(count));
    assert!(parse(&with(MOST_WILDCARDS), now()).is_ok());
    let error = parse(&with(MOST_WILDCARDS + 1), now()).unwrap_err();
    assert_eq!(error.at, 6);
    assert!(error.to_string().contains("16 wildcards"), "{error}");
    // Words of a sentence are no patterns.
    let text = format!("\"{}\"", "*".repeat(MOST_WILDCARDS + 1));
    assert!(parse(&text, now()).is_ok());
}
