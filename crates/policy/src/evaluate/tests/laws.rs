//! Laws: order never matters, more rules and more findings never soften.

use proptest::prelude::*;

use super::*;

/// Rules with conditions on content, time and people.
const MORE: [&str; 6] = [
    "id = \"e\"\nrefs = [\"refs/heads/**\"]\nmax_changed_lines = 30\neffect = \"deny\"\n",
    "id = \"f\"\nrefs = [\"refs/heads/**\"]\npaths = [\"src/\"]\neffect = \"require_approval\"\n\
     approvers = [\"group:s\"]\n",
    "id = \"g\"\nrefs = [\"refs/heads/**\"]\nrequire = [\"linear-history\"]\neffect = \"deny\"\n",
    "id = \"h\"\nrefs = [\"refs/heads/**\"]\nmode = \"evaluate\"\neffect = \"deny\"\n",
    "id = \"i\"\nrefs = [\"**\"]\nsecrets = { confidence = \"high\" }\neffect = \"deny\"\n",
    "id = \"j\"\nrefs = [\"**\"]\nexclude_paths = [\"docs/\"]\neffect = \"allow\"\n",
];

fn rules() -> Vec<&'static str> {
    RULES.into_iter().chain(MORE).collect()
}

fn with_default(rules: &[&str], default: &str) -> Policy {
    let head = format!("version = 1\n[default]\neffect = \"{default}\"\n");
    let text = rules
        .iter()
        .fold(head, |text, rule| text + "[[rule]]\n" + rule);
    Policy::parse(&[("test", &text)]).unwrap()
}

prop_compose! {
    /// A push of a few commits in a row, some of them merges.
    fn pushes()(
        kind in 0_usize..4,
        commits in prop::collection::vec((0_usize..4, any::<bool>()), 0..5),
        unlisted in 0_u64..2,
    ) -> PushFacts {
        let kinds = ["create", "fast-forward", "non-fast-forward", "delete"];
        let mut facts = facts("refs/heads/main", UpdateKind::from_name(kinds[kind]).unwrap());
        let paths = ["src/a", "docs/b", "src/deep/c", "d"];
        let mut parent = oid(b'0');
        for (index, (path, merge)) in commits.iter().enumerate() {
            let id = oid(b"12345"[index]);
            let parents = if *merge { vec![parent, oid(b'f')] } else { vec![parent] };
            facts.commits.push(commit(id, &parents, &paths[*path..=*path]));
            parent = id;
        }
        facts.commits_total = facts.commits.len() as u64;
        facts.updates[0].new = parent;
        facts.updates[0].gained = facts.commits_total + unlisted;
        facts
    }
}

proptest! {
    #[test]
    fn no_name_or_path_breaks_the_evaluation(
        name in prop::collection::vec(any::<u8>(), 1..40),
        path in prop::collection::vec(any::<u8>(), 0..40),
        ident in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let full = [&b"refs/heads/"[..], &name].concat();
        let Ok(ref_name) = RefName::parse(&full) else { return Ok(()) };
        let mut facts = facts("refs/heads/x", UpdateKind::Create);
        facts.updates[0].ref_name = ref_name.clone();
        facts.updates[0].target = ref_name;
        facts.commits.push(commit(oid(b'1'), &[], &["a"]));
        facts.commits[0].changes[0].path = ByteText::new(path);
        facts.commits[0].author = ByteText::new(ident);
        let strict = "id = \"z\"\nrefs = [\"**\"]\nmax_path_length = 0\nmax_files = 0\n\
                      author_email = [\"nobody\"]\nref_must_match = [\"^$\"]\n\
                      require = [\"author-is-pusher\"]\neffect = \"deny\"\n";
        let verdict = judge(&policy(&[strict]), &chain(ActorKind::Agent), &facts);
        prop_assert_eq!(severity(&verdict), 100);
        let RefOutcome::Deny { denials } = &verdict.updates[0].outcome else {
            return Err(TestCaseError::fail("not denied"));
        };
        let printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        prop_assert!(denials.iter().all(|denial| printable(&denial.text)));
        let spoke = verdict.updates[0].spoke.iter().flat_map(|spoken| &spoken.because);
        prop_assert!(spoke.into_iter().all(|text| printable(text)));
    }

    #[test]
    fn order_never_matters_and_more_rules_never_soften(
        order in Just([0_usize, 1, 2, 3, 4, 5, 6, 7, 8, 9]).prop_shuffle(),
        taken in 0_usize..10,
        facts in pushes(),
    ) {
        let actor = chain(ActorKind::Agent);
        let rules = rules();
        let shuffled: Vec<_> = order.iter().map(|&index| rules[index]).collect();
        let all = judge(&policy(&shuffled), &actor, &facts);
        prop_assert_eq!(&all, &judge(&policy(&rules), &actor, &facts));
        // Split over files, in any order.
        let (left, right) = shuffled.split_at(taken);
        let file = |rules: &[&str]| rules.iter().fold("version = 1\n".to_owned(), |t, r| t + "[[rule]]\n" + r);
        let (left_text, right_text) = (file(left), file(right));
        let files = Policy::parse(&[("r", &right_text), ("l", &left_text)]).unwrap();
        prop_assert_eq!(&all, &judge(&files, &actor, &facts));
        let whole = policy(&shuffled);
        prop_assert_eq!(whole.hash(), files.hash());
        let some = judge(&policy(left), &actor, &facts);
        prop_assert!(severity(&some) <= severity(&all));
    }

    #[test]
    fn more_findings_never_soften(
        facts in pushes(),
        deny_by_default: bool,
        pre_existing: bool,
        confidence in prop::option::of(prop_oneof![
            Just(refwarden_model::facts::FindingConfidence::Low),
            Just(refwarden_model::facts::FindingConfidence::High),
        ]),
        mode in prop_oneof![Just(Mode::Enforce), Just(Mode::Evaluate), Just(Mode::Off)],
        unlisted in 0_u64..2,
        commit in prop::option::of(0_usize..5),
    ) {
        let policy = with_default(&rules(), if deny_by_default { "deny" } else { "allow" });
        let actor = chain(ActorKind::Agent);
        let before = judge(&policy, &actor, &facts);
        let mut more = facts.clone();
        let commit = commit.and_then(|index| more.commits.get(index)).map(|commit| commit.oid);
        more.findings.push(FindingFacts { confidence, mode, commit, ..finding(pre_existing) });
        more.findings_total = 1 + unlisted;
        let after = judge(&policy, &actor, &more);
        prop_assert!(severity(&before) <= severity(&after), "{:?} {:?}", before, after);
    }

    #[test]
    fn what_is_not_listed_never_softens(facts in pushes(), deny_by_default: bool) {
        let policy = with_default(&rules(), if deny_by_default { "deny" } else { "allow" });
        let actor = chain(ActorKind::Agent);
        let before = judge(&policy, &actor, &facts);
        let mut cut = facts.clone();
        if cut.updates[0].kind != UpdateKind::Delete {
            cut.updates[0].gained = cut.updates[0].gained.max(cut.commits_total) + 1;
        }
        let after = judge(&policy, &actor, &cut);
        prop_assert!(severity(&before) <= severity(&after), "{:?} {:?}", before, after);
    }
}
