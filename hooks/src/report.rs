//! What the pusher reads: printable ASCII, each line short, everything wrong said at once, and
//! one line of JSON for programs at the end. Written in one piece and well below a pipe's 64 KiB,
//! because a client that went away leaves nobody to read it.

use std::io::Write;

use refwarden_model::Code;
use refwarden_wire::hook::{Outcome, Reason};

use crate::fault::Fault;

/// Reasons that are told; the rest is counted.
const REASONS_MAX: usize = 20;

/// Longest line, in bytes.
const LINE_MAX: usize = 400;

/// Tells why a push is refused.
pub fn fault(fault: &Fault) {
    let _ = std::io::stderr().write_all(render(fault).as_bytes());
}

/// Tells something that refuses nothing.
pub fn note(text: &str) {
    let line = format!("{}\n", ascii(text));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A fault in one sentence, for whoever runs a command on the host.
pub fn in_words(fault: &Fault) -> String {
    match fault {
        Fault::Own { code, text, .. } => ascii(&format!("{code} {text}")),
        Fault::Told => "it was said already".to_owned(),
        Fault::Help => "the options were asked for".to_owned(),
        Fault::Refused { reasons, .. } => {
            let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
            ascii(&texts.join("; "))
        }
    }
}

/// A fault as hooks tell it.
pub fn render(fault: &Fault) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(&ascii(words));
        text.push('\n');
    };
    match fault {
        Fault::Own {
            code,
            text: words,
            hint,
        } => {
            line(&format!("error: {code} {words}"));
            if let Some(hint) = hint {
                line(&format!("hint:  {hint}"));
            }
            line(&machine(Some(*code), None, None));
        }
        Fault::Told => {}
        Fault::Help => {
            for words in crate::options::HELP.lines() {
                line(words);
            }
        }
        Fault::Refused {
            outcome,
            reasons,
            url,
            findings,
        } => {
            for reason in reasons.iter().take(REASONS_MAX) {
                line(&format!("error: {} {}", reason.code, sentence(reason)));
                if let Some(hint) = &reason.hint {
                    line(&format!("hint:  {hint}"));
                }
                if let Some(request) = &reason.request {
                    let left = duration(request.expires_in);
                    line(&format!("hint:  {}   expires in {left}", request.url));
                }
            }
            if reasons.len() > REASONS_MAX {
                let more = reasons.len() - REASONS_MAX;
                line(&format!("error: and {more} more"));
            }
            if *outcome == Outcome::Waiting {
                line("hint:  after approval, run the same git push again; or wait for it:");
                line("hint:  git push -o wait=10m");
            }
            let linked = reasons.iter().any(|reason| reason.request.is_some());
            match (url, findings) {
                (Some(url), Some(_)) => {
                    line("hint:  is it no secret, or a test's? Ask for an exception:");
                    line(&format!("hint:  {url}"));
                }
                (Some(url), None) if !linked => line(&format!("hint:  recorded as {url}")),
                _ => {}
            }
            let asked = reasons.iter().find(|reason| reason.request.is_some());
            let told = asked.or(reasons.first());
            let code = told.map(|reason| reason.code);
            line(&machine(code, asked, findings.as_deref()));
        }
    }
    text
}

fn sentence(reason: &Reason) -> String {
    match &reason.ref_name {
        Some(name) if !reason.text.contains(&name.to_string()) => {
            format!("{name} {}", reason.text)
        }
        _ => reason.text.clone(),
    }
}

fn machine(code: Option<Code>, asked: Option<&Reason>, findings: Option<&str>) -> String {
    let request = asked.and_then(|reason| reason.request.as_ref());
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut json = String::from("{\"v\":1");
    for (key, value) in [
        ("code", code.map(Code::as_str)),
        ("request", request.map(|request| request.id.as_str())),
        ("poll", request.map(|request| request.poll.as_str())),
        ("findings", findings),
    ] {
        if let Some(value) = value {
            json.extend([",\"", key, "\":", &quoted(value)]);
        }
    }
    format!("refwarden: {json}}}")
}

/// A time as people say it.
pub fn duration(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        172_800.. => format!("{} d", seconds.div_ceil(86_400)),
        7_200.. => format!("{} h", seconds / 3_600),
        _ => format!("{} min", seconds.div_ceil(60)),
    }
}

/// Leaves printable ASCII and bounds the line.
fn ascii(text: &str) -> String {
    let shown = |letter: char| {
        if (' '..='~').contains(&letter) {
            letter
        } else {
            '?'
        }
    };
    text.chars().take(LINE_MAX).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use refwarden_wire::hook::RequestRef;

    use super::*;

    #[test]
    fn a_waiting_push_reads_as_designed() {
        let reason = Reason {
            code: Code::NeedsApproval,
            ref_name: None,
            text: "refs/heads/main needs approval by 1 of security".into(),
            hint: None,
            request: Some(RequestRef {
                id: "8FZK2M0T".parse().unwrap(),
                url: "https://refwarden.example/r/8FZK2M0T".into(),
                poll: "https://refwarden.example/api/v1/requests/8FZK2M0T?wait=30".into(),
                expires_in: 604_799,
            }),
        };
        let shown = render(&Fault::Refused {
            outcome: Outcome::Waiting,
            reasons: vec![reason],
            url: None,
            findings: None,
        });
        let expected = "\
error: RW201 refs/heads/main needs approval by 1 of security
hint:  https://refwarden.example/r/8FZK2M0T   expires in 7 d
hint:  after approval, run the same git push again; or wait for it:
hint:  git push -o wait=10m
refwarden: {\"v\":1,\"code\":\"RW201\",\"request\":\"8FZK2M0T\",\"poll\":\"https://refwarden.example/api/v1/requests/8FZK2M0T?wait=30\"}
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn many_reasons_are_counted_and_bytes_are_tamed() {
        let reason = Reason {
            code: Code::SecretFound,
            ref_name: None,
            text: "a\u{202e}\x1b[31m\nb".into(),
            hint: None,
            request: None,
        };
        let shown = render(&Fault::Refused {
            outcome: Outcome::Denied,
            reasons: vec![reason; 30],
            url: Some("http://x/p".into()),
            findings: None,
        });
        assert!(shown.starts_with("error: RW301 a??[31m?b\n"), "{shown}");
        assert!(shown.contains("error: and 10 more\nhint:  recorded as http://x/p\n"));
        assert!(shown.is_ascii());
        let text = shown.replace("http", "x");
        assert!(text.ends_with("{\"v\":1,\"code\":\"RW301\"}\n"), "{text}");
    }

    #[test]
    fn findings_come_with_a_link_for_people_and_one_for_programs() {
        let reason = Reason {
            code: Code::SecretFound,
            ref_name: None,
            text: "secret x in a:1 ****".into(),
            hint: None,
            request: None,
        };
        let shown = render(&Fault::Refused {
            outcome: Outcome::Denied,
            reasons: vec![reason],
            url: Some("http://x/p/1".into()),
            findings: Some("http://x/api/v1/pushes/1/findings".into()),
        });
        let expected = "\
error: RW301 secret x in a:1 ****
hint:  is it no secret, or a test's? Ask for an exception:
hint:  http://x/p/1
refwarden: {\"v\":1,\"code\":\"RW301\",\"findings\":\"http://x/api/v1/pushes/1/findings\"}
";
        assert_eq!(shown, expected);
    }
}
