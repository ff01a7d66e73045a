//! Who may approve, and when enough have. Pure; decisions come in as data.

use refwarden_model::{Actor, ActorChain, ActorKind, ByteText};

use crate::verdict::Requirement;

/// Why a person may not approve a push at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// An agent or a build job.
    #[error("only a person can decide")]
    NotHuman,
    /// The pusher, or the human behind the agent.
    #[error("whoever pushed, or is acted for, cannot decide")]
    InChain,
    /// Author or committer of a commit in the push, by verified address.
    #[error("an author or committer of the pushed commits cannot decide")]
    Author,
    /// In none of the lists that the rules name.
    #[error("you are not among the approvers that the rules name")]
    NotListed,
}

/// Whether an actor is named by one of the entries `group:…`, `user:…`, `email:…` (a verified
/// address, ASCII case ignored), `kind:…`.
pub fn is_listed(entries: &[String], actor: &Actor) -> bool {
    listed_by(entries, actor).is_some()
}

/// The first entry that names an actor.
pub(crate) fn listed_by<'e>(entries: &'e [String], actor: &Actor) -> Option<&'e str> {
    let names = |entry: &&String| match entry.split_once(':') {
        Some(("group", name)) => actor.groups.iter().any(|group| group == name),
        Some(("user", name)) => actor.subject == name,
        Some(("email", name)) => {
            let email = actor.email.as_ref();
            email.is_some_and(|email| email.eq_ignore_ascii_case(name))
        }
        Some(("kind", name)) => actor.kind.name() == name,
        _ => false,
    };
    entries.iter().find(names).map(String::as_str)
}

/// Whether a person may decide on a push of that chain. `idents` are author and committer
/// lines of the pushed commits. Being an administrator changes nothing.
///
/// # Errors
/// The first reason why not.
pub fn barred(
    person: &Actor,
    chain: &ActorChain,
    idents: &[ByteText],
    requirements: &[Requirement],
) -> Result<(), Barred> {
    if person.kind != ActorKind::Human {
        return Err(Barred::NotHuman);
    }
    if chain.everyone().any(|actor| actor.is_same_person(person)) {
        return Err(Barred::InChain);
    }
    // Where several rules ask, the strictest of them says whether authors may.
    let authors_may = requirements.iter().all(|needed| needed.authors_may_approve);
    if let Some(email) = person.email.as_ref().filter(|_| !authors_may) {
        let wrote =
            |ident: &ByteText| address(ident.as_bytes()).eq_ignore_ascii_case(email.as_bytes());
        if idents.iter().any(wrote) {
            return Err(Barred::Author);
        }
    }
    if !requirements
        .iter()
        .any(|requirement| is_listed(&requirement.approvers, person))
    {
        return Err(Barred::NotListed);
    }
    Ok(())
}

/// The idents of a message's `Co-authored-by:` lines, `Name <address>` each, for [`barred`].
pub fn co_authors(message: &[u8]) -> Vec<ByteText> {
    let key = b"co-authored-by:";
    let ident = |line: &[u8]| {
        let (start, rest) = line.split_at_checked(key.len())?;
        let ident = start.eq_ignore_ascii_case(key).then(|| rest.trim_ascii())?;
        (!ident.is_empty()).then(|| ByteText::new(ident))
    };
    message
        .split(|&byte| byte == b'\n')
        .filter_map(ident)
        .collect()
}

/// The address of an ident line `Name <address> time zone`; empty where there is none.
pub fn address(ident: &[u8]) -> &[u8] {
    let start = ident
        .iter()
        .position(|&byte| byte == b'<')
        .map_or(ident.len(), |at| at + 1);
    let rest = ident.get(start..).unwrap_or_default();
    let end = rest
        .iter()
        .position(|&byte| byte == b'>')
        .unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

/// How far the approvals go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// For each requirement, how many different people count for it.
    pub counted: Vec<u32>,
    /// Whether every requirement is met.
    pub met: bool,
}

/// Counts approvals. One person counts once for a requirement, however many groups or accounts
/// they have.
pub fn tally(requirements: &[Requirement], approvals: &[Actor]) -> Tally {
    let mut people: Vec<&Actor> = Vec::new();
    for actor in approvals {
        if !people.iter().any(|known| known.is_same_person(actor)) {
            people.push(actor);
        }
    }
    let count = |requirement: &Requirement| {
        let listed = people
            .iter()
            .filter(|person| is_listed(&requirement.approvers, person));
        u32::try_from(listed.count()).unwrap_or(u32::MAX)
    };
    let counted: Vec<u32> = requirements.iter().map(count).collect();
    let met = requirements
        .iter()
        .zip(&counted)
        .all(|(needed, &have)| have >= needed.quorum);
    Tally {
        counted,
        met: met && !requirements.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(subject: &str, email: &str, groups: &[&str]) -> Actor {
        Actor {
            issuer: "i".into(),
            subject: subject.into(),
            kind: ActorKind::Human,
            name: None,
            email: Some(email.into()),
            groups: groups.iter().map(|&group| group.into()).collect(),
            claims: std::collections::BTreeMap::new(),
        }
    }

    fn requirement(quorum: u32, approvers: &[&str]) -> Requirement {
        let approvers = approvers.iter().map(|&entry| entry.into()).collect();
        Requirement::new("r", quorum, approvers)
    }

    #[test]
    fn neither_pusher_nor_human_behind_nor_author_decides() {
        let needs = [requirement(1, &["group:m"])];
        let ada = person("ada", "ada@example.org", &["m"]);
        let agent = Actor {
            kind: ActorKind::Agent,
            ..person("agent", "a@b", &["m"])
        };
        let chain = ActorChain {
            pusher: agent.clone(),
            on_behalf_of: vec![ada.clone()],
        };
        let ident = ByteText::from("Grace H <Grace@Example.org> 1 +0000");
        let grace = person("grace", "grace@example.org", &["m"]);
        let second = person("ada-admin", "ADA@example.org", &["m"]);
        let lin = person("lin", "lin@example.org", &["x"]);
        for (who, idents, expected) in [
            (&ada, vec![], Err(Barred::InChain)),
            (&second, vec![], Err(Barred::InChain)),
            (&agent, vec![], Err(Barred::NotHuman)),
            (&grace, vec![ident], Err(Barred::Author)),
            (&grace, vec![], Ok(())),
            (&lin, vec![], Err(Barred::NotListed)),
        ] {
            assert_eq!(
                barred(who, &chain, &idents, &needs),
                expected,
                "{}",
                who.subject
            );
        }
    }

    #[test]
    fn one_person_counts_once_and_every_requirement_must_be_met() {
        let needs = [requirement(2, &["group:m"]), requirement(1, &["group:s"])];
        let a = person("a", "a@x", &["m"]);
        let same = person("a2", "A@x", &["m"]);
        let b = person("b", "b@x", &["m", "s"]);
        assert!(!tally(&needs, &[a.clone(), same.clone()]).met);
        assert_eq!(
            tally(&needs, &[a, same, b]),
            Tally {
                counted: vec![2, 1],
                met: true
            }
        );
        assert!(!tally(&[], &[]).met);
    }

    #[test]
    fn authors_may_where_every_rule_says_so() {
        let nobody = person("x", "x@example.org", &[]);
        let chain = ActorChain {
            pusher: nobody,
            on_behalf_of: vec![],
        };
        let grace = person("grace", "grace@example.org", &["m"]);
        let message = b"Fix it\n\nCo-Authored-By: Grace <GRACE@example.org>\nco-authored-by:\n";
        let idents = co_authors(message);
        assert_eq!(idents.len(), 1);
        let strict = requirement(1, &["group:m"]);
        let lenient = Requirement {
            authors_may_approve: true,
            ..strict.clone()
        };
        for (requirements, expected) in [
            (vec![strict.clone()], Err(Barred::Author)),
            (vec![lenient.clone()], Ok(())),
            (vec![lenient, strict], Err(Barred::Author)),
        ] {
            assert_eq!(barred(&grace, &chain, &idents, &requirements), expected);
        }
    }

    #[test]
    fn entries_name_actors() {
        let ada = person("ada", "Ada@example.org", &["m"]);
        for (entry, expected) in [
            ("group:m", true),
            ("group:M", false),
            ("user:ada", true),
            ("email:ada@example.org", true),
            ("email:a@example.org", false),
            ("kind:human", true),
            ("kind:agent", false),
            ("ada", false),
        ] {
            assert_eq!(is_listed(&[entry.to_owned()], &ada), expected, "{entry}");
        }
        let unverified = Actor { email: None, ..ada };
        assert!(!is_listed(&["email:ada@example.org".into()], &unverified));
    }
}
