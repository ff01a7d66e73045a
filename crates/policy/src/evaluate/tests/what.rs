//! Each limit: what breaks it, what does not, and what is said.

use refwarden_model::facts::{
    CertificateFacts, FindingConfidence, SignatureFacts, SignatureKind, SignatureState, TagFacts,
};

use super::*;

/// A push of one commit to refs/heads/x, changed by `edit`.
fn one(edit: impl FnOnce(&mut PushFacts)) -> PushFacts {
    let mut facts = facts("refs/heads/x", UpdateKind::FastForward);
    facts.updates[0].actual_old = oid(b'0');
    facts.updates[0].claimed_old = oid(b'0');
    facts.updates[0].new_type = Some("commit".into());
    facts.updates[0].gained = 1;
    facts.commits = vec![commit(oid(b'1'), &[oid(b'0')], &["src/a.RS"])];
    facts.commits_total = 1;
    edit(&mut facts);
    facts
}

fn tagged(edit: impl FnOnce(&mut PushFacts)) -> PushFacts {
    let mut facts = facts("refs/tags/v1", UpdateKind::Create);
    facts.updates[0].new = oid(b'a');
    facts.updates[0].new_type = Some("tag".into());
    facts.tags = vec![TagFacts {
        oid: oid(b'a'),
        target: oid(b'1'),
        target_type: "commit".into(),
        name: "v1".into(),
        tagger: None,
        message: "v1\n".into(),
        signature: Some(signed(SignatureState::Good)),
    }];
    edit(&mut facts);
    facts
}

fn signed(state: SignatureState) -> SignatureFacts {
    SignatureFacts {
        kind: Some(SignatureKind::Ssh),
        state,
        signer: Some("ada@example.org".into()),
        key: Some("SHA256:abc".into()),
    }
}

fn because(keys: &str, facts: &PushFacts) -> Option<String> {
    let rule = format!("id = \"t\"\nrefs = [\"refs/**\"]\n{keys}\neffect = \"deny\"\n");
    let verdict = judge(&policy(&[&rule]), &chain(ActorKind::Agent), facts);
    let spoken = verdict.updates[0].spoke.first()?;
    match &verdict.updates[0].outcome {
        RefOutcome::Deny { denials } => assert!(denials[0].text.is_ascii()),
        other => panic!("{other:?}"),
    }
    Some(spoken.because.join("; "))
}

/// Expects the rule to say so, or, for an empty text, not to speak.
#[track_caller]
fn check(keys: &str, facts: &PushFacts, expected: &str) {
    let because = because(keys, facts);
    match &because {
        None => assert!(expected.is_empty(), "{keys}: silent, not {expected}"),
        Some(text) => {
            assert!(
                !expected.is_empty() && text.contains(expected),
                "{keys}: {text}"
            );
        }
    }
}

#[test]
fn history_and_messages() {
    let plain = one(|_| {});
    let merge = one(|facts| facts.commits[0].parents.push(oid(b'0')));
    let cut = one(|facts| facts.commits[0].message_cut = true);
    let off = |line: &str| {
        let message = format!("Do it\n\n{line}\n");
        one(|facts| facts.commits[0].message = message.as_str().into())
    };
    check("require = [\"linear-history\"]", &plain, "");
    check(
        "require = [\"linear-history\"]",
        &merge,
        "commit 1111111111 is a merge",
    );
    check("message_must_match = [\"^[A-Z]+-[0-9]+: \"]", &plain, "");
    check("message_must_match = [\"Do it$\"]", &plain, "");
    check(
        "message_must_match = [\"^#[0-9]+\"]",
        &plain,
        "message does not match ^#[0-9]+",
    );
    check(
        "message_must_not_match = [\"(?i)DO IT\"]",
        &plain,
        "message matches",
    );
    check("message_must_not_match = [\"wip\"]", &plain, "");
    check(
        "message_must_not_match = [\"wip\"]",
        &cut,
        "not told in full",
    );
    check("require = [\"sign-off\"]", &plain, "is not signed off");
    check(
        "require = [\"sign-off\"]",
        &off("Signed-off-by: A <ADA@example.org>"),
        "",
    );
    check(
        "require = [\"sign-off\"]",
        &off("Signed-off-by: A <eve@example.org>"),
        "not signed off",
    );
    check(
        "require = [\"sign-off\"]",
        &off("Signed-off-by: ada@example.org"),
        "not signed off",
    );
    check("max_commits = 1", &plain, "");
    check("max_commits = 0", &plain, "gains 1 commits, more than 0");
    check("max_refs = 0", &plain, "updates 1 refs, more than 0");
}

#[test]
fn people_of_commits() {
    let plain = one(|_| {});
    let mine = one(|facts| {
        facts.commits[0].author = "A <AGENT@example.org> 1 +0000".into();
        facts.commits[0].committer = "A <agent@example.org> 1 +0000".into();
    });
    let none = one(|facts| facts.commits[0].author = "nobody".into());
    check("author_email = [\"*@Example.org\"]", &plain, "");
    check(
        "author_email = [\"*@acme.example\"]",
        &plain,
        "<ada@example.org> does not match",
    );
    check("author_email = [\"*\"]", &none, "");
    check("author_email = [\"?*\"]", &none, "author <> does not match");
    check(
        "committer_email = [\"*@acme.example\"]",
        &plain,
        "the committer <ada@example.org>",
    );
    check(
        "require = [\"author-is-pusher\"]",
        &plain,
        "no verified address of agent",
    );
    check(
        "require = [\"author-is-pusher\", \"committer-is-pusher\"]",
        &mine,
        "",
    );
    check("require = [\"author-is-pusher\"]", &none, "author <>");
}

#[test]
fn signatures() {
    let with = |state| one(|facts| facts.commits[0].signature = Some(signed(state)));
    let good = with(SignatureState::Good);
    let key = "require = [\"signed-commits\"]";
    check(key, &good, "");
    check(key, &one(|_| {}), "commit 1111111111 is not signed");
    check(
        key,
        &one(|facts| facts.commits[0].signed = true),
        "was not checked",
    );
    check(key, &with(SignatureState::Bad), "signed badly");
    check(key, &with(SignatureState::UnknownKey), "unknown key");
    check(key, &with(SignatureState::Unsigned), "not signed");
    for (added, expected) in [
        ("signature_kinds = [\"ssh\"]", ""),
        (
            "signature_kinds = [\"gpg\", \"x509\"]",
            "signed with ssh, not gpg or x509",
        ),
        ("signers = [\"*@example.org\"]", ""),
        ("signers = [\"SHA256:abc\"]", ""),
        (
            "signers = [\"eve@*\"]",
            "signed by ada@example.org, not an allowed signer",
        ),
    ] {
        check(&format!("{key}\n{added}"), &good, expected);
    }
    let certificate = |state, nonce_ok| {
        let signature = signed(state);
        one(|facts| {
            facts.certificate = Some(CertificateFacts {
                signature,
                nonce_ok,
            });
        })
    };
    let key = "require = [\"signed-push\"]";
    check(key, &certificate(SignatureState::Good, true), "");
    check(key, &certificate(SignatureState::Good, false), "nonce");
    check(
        key,
        &certificate(SignatureState::Unsigned, false),
        "the push is not signed",
    );
    check(key, &one(|_| {}), "not known to be signed");
}

#[test]
fn tags() {
    let light = tagged(|facts| facts.updates[0].new_type = Some("commit".into()));
    let unknown = tagged(|facts| facts.tags.clear());
    let bad = tagged(|facts| facts.tags[0].signature = Some(signed(SignatureState::Bad)));
    let deleted = tagged(|facts| {
        facts.updates[0].kind = UpdateKind::Delete;
        facts.updates[0].new_type = None;
    });
    check("require = [\"annotated-tags\"]", &tagged(|_| {}), "");
    check(
        "require = [\"annotated-tags\"]",
        &light,
        "the tag is not annotated",
    );
    check("require = [\"annotated-tags\"]", &one(|_| {}), "");
    check("require = [\"annotated-tags\"]", &deleted, "");
    check("require = [\"signed-tags\"]", &tagged(|_| {}), "");
    check("require = [\"signed-tags\"]", &light, "not annotated");
    check(
        "require = [\"signed-tags\"]",
        &bad,
        "the tag is signed badly",
    );
    check(
        "require = [\"signed-tags\"]",
        &unknown,
        "not known to be signed",
    );
    let moved = tagged(|facts| facts.updates[0].kind = UpdateKind::NonFastForward);
    check(
        "on = [\"tag-move\"]",
        &moved,
        "non-fast-forward of refs/tags/v1",
    );
    check("on = [\"tag-move\"]", &tagged(|_| {}), "");
    let branch = one(|facts| facts.updates[0].kind = UpdateKind::NonFastForward);
    check("on = [\"tag-move\"]", &branch, "");
    check(
        "ref_must_match = [\"^refs/tags/v[0-9]+$\"]",
        &tagged(|_| {}),
        "",
    );
    check(
        "ref_must_match = [\"^refs/tags/r\"]",
        &tagged(|_| {}),
        "ref name does not match",
    );
    check("ref_must_match = [\"^refs/tags/r\"]", &deleted, "");
    check(
        "ref_must_not_match = [\"v1\"]",
        &tagged(|_| {}),
        "ref name matches v1",
    );
}

#[test]
fn content() {
    let plain = one(|_| {});
    let with =
        |edit: &dyn Fn(&mut ChangeFacts)| one(|facts| edit(&mut facts.commits[0].changes[0]));
    let deleted = with(&|change| {
        change.status = 'D';
        change.size = None;
        change.binary = None;
    });
    check("max_path_length = 8", &plain, "");
    check(
        "max_path_length = 7",
        &plain,
        "the path src/a.RS has 8 bytes, more than 7",
    );
    check("max_path_length = 7", &deleted, "");
    check(
        "forbidden_extensions = [\"rs\"]",
        &plain,
        "src/a.RS is a .rs file",
    );
    check("forbidden_extensions = [\"s\", \"a.rs\"]", &plain, "");
    check("forbidden_extensions = [\"rs\"]", &deleted, "");
    check("max_file_size = 100", &plain, "");
    check(
        "max_file_size = \"99\"",
        &plain,
        "src/a.RS has 100 bytes, more than 99",
    );
    check(
        "max_file_size = 99",
        &with(&|change| change.size = None),
        "is not known",
    );
    check("max_file_size = 99", &deleted, "");
    check("forbid = [\"binary\"]", &plain, "");
    check(
        "forbid = [\"binary\"]",
        &with(&|change| change.binary = Some(true)),
        "is binary",
    );
    let uncounted = with(&|change| (change.binary, change.added) = (None, None));
    check("forbid = [\"binary\"]", &uncounted, "is binary");
    for (word, mode) in [
        ("submodule", "160000"),
        ("symlink", "120000"),
        ("executable", "100755"),
    ] {
        let key = format!("forbid = [\"{word}\"]");
        let changed = with(&|change| change.new_mode = mode.into());
        check(&key, &plain, "");
        check(&key, &changed, "src/a.RS ");
    }
    check(
        "lfs = [\"src/\"]",
        &plain,
        "src/a.RS is not a Git LFS pointer",
    );
    check("lfs = [\"*.psd\"]", &plain, "");
    check(
        "lfs = [\"src/\"]",
        &with(&|change| change.lfs_pointer = Some(true)),
        "",
    );
    check(
        "lfs = [\"src/\"]",
        &with(&|change| change.lfs_pointer = None),
        "not known to be",
    );
    check("max_files = 1", &plain, "");
    check("max_files = 0", &plain, "1 files are changed, more than 0");
    check("max_changed_lines = 11", &plain, "");
    check(
        "max_changed_lines = 10",
        &plain,
        "11 lines are changed, more than 10",
    );
}

#[test]
fn paths_narrow_a_rule() {
    let plain = one(|_| {});
    check("paths = [\"src/\"]", &plain, "src/a.RS is changed");
    check("paths = [\"docs/\"]", &plain, "");
    check("exclude_paths = [\"src/\"]", &plain, "");
    check("paths = [\"docs/\"]\nmax_changed_lines = 0", &plain, "");
    check(
        "paths = [\"docs/\"]\nrequire = [\"signed-commits\"]",
        &plain,
        "",
    );
    check(
        "paths = [\"src/\"]\nrequire = [\"signed-commits\"]",
        &plain,
        "not signed",
    );
    let hostile = one(|facts| {
        facts.commits[0].changes[0].path = ByteText::new(&b"src/\x1b[31m\xff\n"[..]);
    });
    check(
        "paths = [\"src/\"]",
        &hostile,
        "src/\\x1b[31m\\xff\\x0a is changed",
    );
}

#[test]
fn what_is_not_listed_counts_as_a_breach() {
    let unlisted = one(|facts| facts.updates[0].gained = 3);
    let cut = one(|facts| facts.commits[0].changes_total = 7);
    let blob = one(|facts| facts.updates[0].new_type = Some("blob".into()));
    let key = "message_must_not_match = [\"never\"]";
    check(key, &one(|_| {}), "");
    check(
        key,
        &unlisted,
        "2 of the commits that refs/heads/x gains are not listed",
    );
    check("paths = [\"docs/\"]", &unlisted, "not listed");
    check(
        "max_files = 100",
        &cut,
        "6 changes of commit 1111111111 are not listed",
    );
    check("max_files = 100", &blob, "names a blob");
    check("max_commits = 2", &unlisted, "gains 3 commits");
    // A rule that is not about commits does not ask.
    check("max_refs = 1", &unlisted, "");
}

#[test]
fn commits_belong_to_the_refs_that_gain_them() {
    // 2 stands on 1; x gains both, y the first, z nothing: it moves from 1 to 2's parent.
    let mut facts = one(|facts| {
        let mut second = commit(oid(b'2'), &[oid(b'1')], &["docs/b"]);
        second.message = "wip".into();
        facts.commits.push(second);
        facts.commits_total = 2;
        facts.updates[0].new = oid(b'2');
        facts.updates[0].gained = 2;
        let mut other = facts.updates[0].clone();
        other.ref_name = RefName::parse(b"refs/heads/y").unwrap();
        other.target = other.ref_name.clone();
        other.new = oid(b'1');
        other.gained = 1;
        facts.updates.push(other);
    });
    let rule = "id = \"t\"\nrefs = [\"refs/**\"]\nmessage_must_not_match = [\"wip\"]\n\
                effect = \"deny\"\n";
    let policy = policy(&[rule]);
    let denied = |facts: &PushFacts| -> Vec<bool> {
        let verdict = judge(&policy, &chain(ActorKind::Agent), facts);
        let outcomes = verdict.updates.iter().map(|update| &update.outcome);
        outcomes
            .map(|outcome| *outcome != RefOutcome::Allow)
            .collect()
    };
    assert_eq!(denied(&facts), [true, false]);
    // The same commits came by way of another branch before.
    facts.known_commits = std::mem::take(&mut facts.commits);
    facts.commits_total = 0;
    assert_eq!(denied(&facts), [true, false]);
    // y moves from 2: it gains nothing of it.
    facts.updates[1].actual_old = oid(b'2');
    facts.updates[1].claimed_old = oid(b'2');
    facts.updates[1].new = oid(b'2');
    facts.updates[1].gained = 0;
    assert_eq!(denied(&facts), [true, false]);
}

#[test]
fn what_a_merge_brings_in_is_counted_once() {
    // 1 on a branch of its own, merged by 2 into the ref: 2 differs from its first parent by
    // what 1 did, and by a change of its own.
    let facts = one(|facts| {
        let mut merge = commit(oid(b'2'), &[oid(b'0'), oid(b'1')], &["src/a.RS", "evil"]);
        merge.changes[1].new_oid = oid(b'e');
        facts.commits.push(merge);
        facts.commits_total = 2;
        facts.updates[0].new = oid(b'2');
        facts.updates[0].gained = 2;
    });
    check("max_changed_lines = 22", &facts, "");
    check("max_changed_lines = 21", &facts, "22 lines");
    check("paths = [\"evil\"]", &facts, "evil is changed");
}

#[test]
fn findings_by_rule_confidence_mode_and_place() {
    let with = |edit: &dyn Fn(&mut FindingFacts)| {
        one(|facts| {
            let mut found = finding(false);
            edit(&mut found);
            facts.findings.push(found);
            facts.findings_total = 1;
        })
    };
    // The table lets everything through, so that the rule decides alone.
    let said = |keys: &str, facts: &PushFacts| {
        let text = format!(
            "version = 1\n[secrets]\neffect = \"allow\"\n[[rule]]\nid = \"t\"\nrefs = [\"**\"]\n\
             {keys}\neffect = \"deny\"\n"
        );
        let policy = Policy::parse(&[("t", &text)]).unwrap();
        match judge(&policy, &chain(ActorKind::Agent), facts).updates[0]
            .outcome
            .clone()
        {
            RefOutcome::Deny { denials } => Some(denials[0].code),
            _ => None,
        }
    };
    let low = with(&|found| found.confidence = Some(FindingConfidence::Low));
    let old = with(&|found| found.pre_existing = true);
    let quiet = with(&|found| found.mode = Mode::Evaluate);
    let elsewhere = with(&|found| found.commit = Some(oid(b'9')));
    for (keys, facts, expected) in [
        ("secrets = {}", &with(&|_| {}), true),
        ("secrets = { rules = [\"r\"] }", &with(&|_| {}), true),
        ("secrets = { rules = [\"aws-*\"] }", &with(&|_| {}), false),
        ("secrets = { confidence = \"high\" }", &with(&|_| {}), true),
        ("secrets = { confidence = \"medium\" }", &low, false),
        ("secrets = { confidence = \"low\" }", &low, true),
        ("secrets = { places = [\"commit\"] }", &with(&|_| {}), false),
        ("secrets = { places = [\"blob\"] }", &with(&|_| {}), true),
        ("secrets = {}", &old, false),
        ("secrets = { pre_existing = true }", &old, true),
        ("secrets = {}", &quiet, false),
        (
            "secrets = { modes = [\"enforce\", \"evaluate\"] }",
            &quiet,
            true,
        ),
        ("secrets = {}", &elsewhere, true),
        ("secrets = {}\npaths = [\"docs/\"]", &with(&|_| {}), false),
    ] {
        let expected = expected.then_some(Code::SecretFound);
        assert_eq!(said(keys, facts), expected, "{keys}");
    }
    let cut = one(|facts| facts.findings_total = 1);
    assert!(said("secrets = { rules = [\"aws-*\"] }", &cut).is_some());
}
