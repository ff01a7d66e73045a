//! A notice in words for people, before any channel's markup: a title, facts, a link. Everything
//! from outside is made visible and cut to a bounded length.

use refwarden_config::Told;
use refwarden_policy::Requirement;

use super::notice::{About, Notice};
use crate::db::requests::state;
use crate::web::{listed, short, update_in_words, visible_line};

/// The longest text from outside, in characters; what is longer is cut in its middle, since both
/// ends of a ref name tell it from others.
const MAX_PART: usize = 120;

/// The longest sentence that holds somebody's reason, in characters.
const MAX_SUMMARY: usize = 600;

/// A notice in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub title: String,
    /// Labels and values, each one line.
    pub facts: Vec<(&'static str, String)>,
    /// What the link is called.
    pub link_name: &'static str,
    /// Where it leads.
    pub link: String,
}

impl Text {
    /// Tells a notice.
    pub fn of(notice: &Notice) -> Self {
        let data = &notice.data;
        let repository = part(data.repository.as_bytes());
        let ref_name = data.ref_name.as_ref().map(|name| part(name.as_bytes()));
        let place = match &ref_name {
            Some(name) => format!("{repository} {name}"),
            None => repository.clone(),
        };
        let mut facts = Vec::new();
        let mut add = |label, value: Option<String>| {
            facts.extend(value.filter(|it| !it.is_empty()).map(|it| (label, it)));
        };
        add("Repository", Some(repository));
        add("Ref", ref_name);
        if let Some(about) = &data.request {
            let name = data
                .ref_name
                .as_ref()
                .map(refwarden_model::ByteText::as_bytes);
            let name = name.unwrap_or_default();
            let words = update_in_words(&about.update, name, about.gained, about.lost);
            add("Update", Some(words));
        }
        if let (Some(old), Some(new)) = (&data.old, &data.new) {
            add("Value", Some(format!("{} to {}", oid(old), oid(new))));
        }
        if let Some(about) = &data.request {
            add("Pushed by", Some(chain(about)));
        }
        if matches!(notice.told(), Some(Told::GrantOpened | Told::BreakGlass)) {
            let summary = visible_line(data.summary.as_bytes());
            add("What", Some(cut(&summary, MAX_SUMMARY)));
        }
        if !matches!(notice.told(), Some(Told::Created | Told::Used)) {
            add("By", Some(part(data.by.as_bytes())));
        }
        if let Some(about) = &data.request {
            add("Request", Some(part(about.id.as_bytes())));
            if about.state == state::WAITING {
                add("Needs", Some(needs(&about.requirements)));
                let until = about.expires_at.format("%Y-%m-%d %H:%M UTC");
                add("Until", Some(until.to_string()));
            }
        }
        let is_request = data.request.is_some();
        Self {
            title: title(notice, &place),
            facts,
            link_name: if is_request {
                "Open the request"
            } else {
                "Open Refwarden"
            },
            link: data.url.clone(),
        }
    }
}

fn title(notice: &Notice, place: &str) -> String {
    let state = notice
        .data
        .request
        .as_ref()
        .map(|about| about.state.as_str());
    let what = match notice.told() {
        Some(Told::Created) => "Approval wanted",
        Some(Told::Approved) if state == Some(state::WAITING) => "Approved, and more have to",
        Some(Told::Approved) => "Approved",
        Some(Told::Rejected) => "Rejected",
        Some(Told::Expired) => "Expired",
        Some(Told::Stale) => "Stale, the ref has moved",
        Some(Told::Used) => "Approval used",
        Some(Told::Commented) => "New comment",
        Some(Told::GrantOpened) => "Window opened: no further approval",
        Some(Told::GrantEnded) => "Window over",
        Some(Told::GrantRevoked) => "Window taken back",
        Some(Told::BreakGlass) => "EMERGENCY, released without approval, review needed",
        Some(Told::Reviewed) => "Emergency reviewed",
        None => return "Refwarden: a test of this channel".to_owned(),
    };
    format!("{what}: {place}")
}

fn chain(about: &About) -> String {
    let name = |who: &super::notice::Who| {
        format!(
            "{} ({})",
            part(who.subject.as_bytes()),
            part(who.kind.as_bytes())
        )
    };
    about
        .chain
        .iter()
        .map(name)
        .collect::<Vec<_>>()
        .join(" for ")
}

fn needs(requirements: &[Requirement]) -> String {
    let need = |needed: &Requirement| {
        let names: Vec<String> = needed.approvers.iter().map(|it| listed(it)).collect();
        format!("{} of {}", needed.quorum, names.join(", "))
    };
    let all: Vec<String> = requirements.iter().map(need).collect();
    cut(&all.join(" and "), MAX_PART * 4)
}

fn oid(oid: &str) -> &str {
    if oid.bytes().all(|byte| byte == b'0') {
        "nothing"
    } else {
        short(oid)
    }
}

fn part(bytes: &[u8]) -> String {
    cut(&visible_line(bytes), MAX_PART)
}

/// Cuts the middle of what is longer than `most` characters.
fn cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let half = most / 2;
    let begin: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count - half).collect();
    format!("{begin}[...]{end}")
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::DateTime;
    use refwarden_model::ByteText;

    use super::super::notice::{Data, Who};
    use super::*;

    /// A notice whose every part from outside is hostile.
    pub fn hostile() -> Notice {
        let evil = "<!channel> <https://evil.example|x> *b* _i_ [a](http://b) @here &\u{202e}\r\n";
        let requirements =
            serde_json::json!([{"rule": "r", "quorum": 1, "approvers": ["group:maintainers"]}]);
        let who = |subject: &str, kind: &str| Who {
            issuer: "i".to_owned(),
            subject: subject.to_owned(),
            kind: kind.to_owned(),
        };
        Notice {
            kind: "request.created".to_owned(),
            timestamp: DateTime::UNIX_EPOCH,
            data: Data {
                url: "https://rw.example/r/ABCDEFGH".to_owned(),
                summary: String::new(),
                repository: "team/app".to_owned(),
                by: "agent for ada".to_owned(),
                ref_name: Some(ByteText::from(format!("refs/heads/{evil}").as_str())),
                old: Some("0".repeat(40)),
                new: Some("a".repeat(40)),
                request: Some(About {
                    id: "ABCDEFGH".to_owned(),
                    state: "waiting".to_owned(),
                    update: "create".to_owned(),
                    gained: 2,
                    lost: 0,
                    chain: vec![who(evil, "agent"), who("ada", "human")],
                    requirements: serde_json::from_value(requirements).unwrap(),
                    expires_at: DateTime::UNIX_EPOCH,
                }),
            },
        }
    }

    #[test]
    fn a_notice_is_told_in_words() {
        let mut notice = hostile();
        notice.data.ref_name = Some(ByteText::from("refs/heads/main"));
        let about = notice.data.request.as_mut().unwrap();
        about.chain[0].subject = "agent".to_owned();
        let text = Text::of(&notice);
        assert_eq!(text.title, "Approval wanted: team/app refs/heads/main");
        let facts: Vec<String> = text.facts.iter().map(|(a, b)| format!("{a}={b}")).collect();
        let expected = [
            "Repository=team/app",
            "Ref=refs/heads/main",
            "Update=creates a branch with 2 new commits",
            "Value=nothing to aaaaaaaaaa",
            "Pushed by=agent (agent) for ada (human)",
            "Request=ABCDEFGH",
            "Needs=1 of group maintainers",
            "Until=1970-01-01 00:00 UTC",
        ];
        assert_eq!(facts, expected);
    }

    #[test]
    fn parts_from_outside_are_visible_one_line_and_bounded() {
        let mut notice = hostile();
        let text = Text::of(&notice);
        let all = format!("{text:?}");
        assert!(all.contains("<U+202E><U+000D><U+000A>"), "{all}");
        notice.data.ref_name = Some(ByteText::from("r".repeat(4000).as_str()));
        assert!(Text::of(&notice).title.chars().count() < 300);
    }
}
