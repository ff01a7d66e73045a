//! Secrets that a push puts where they did not stand, where people are asked about that.

use refwarden_model::facts::SecretMove;
use refwarden_scan::FingerprintKey;
use refwarden_view::unmask::Problem;

use super::desk::{Clone, Desk, pem, secret};

const TOPIC: &[&str] = &["HEAD:refs/heads/topic"];
const FORCE: &[&str] = &["-f", "HEAD:refs/heads/topic"];
/// Put together here, so that no file of this project has the form of a placeholder.
const FORGED: &str = "REFWARDEN-MASKED-";

fn desk() -> Desk {
    let mut desk = Desk::new("sha1");
    desk.may_move = true;
    desk
}

/// Rule, path and line of each.
fn told(moves: &[SecretMove]) -> Vec<(String, String, u64)> {
    let told = |it: &SecretMove| (it.rule_id.clone(), it.path.to_string(), it.line);
    moves.iter().map(told).collect()
}

fn at(rule: &str, path: &str, line: u64) -> (String, String, u64) {
    (rule.to_owned(), path.to_owned(), line)
}

#[test]
fn a_secret_moves_and_that_is_told() {
    let desk = desk();
    let moves = desk.accepts(
        |clone| {
            clone.git(&["mv", "conf/app.env", "conf/public.env"]);
            clone.commit("Rename");
        },
        FORCE,
    );
    assert_eq!(told(&moves), [at("github-pat", "conf/public.env", 2)]);
    assert_eq!(moves[0].from.to_string(), "conf/app.env");
    let bytes = secret(1);
    let print = FingerprintKey::new([8; 32]).fingerprint(bytes.as_bytes());
    let shown = (moves[0].from_line, moves[0].fingerprint.as_str());
    assert_eq!(shown, (2, print.to_string().as_str()));
    assert_eq!((moves[0].first, moves[0].last), (2, 2));
    assert!(moves[0].also.is_empty() && !moves[0].unsound);
    // A line of another file, upon what the push before has made.
    let copied = |clone: &Clone| {
        clone.git(&["checkout", "-q", "origin/topic"]);
        let line = clone.line("conf/public.env", "T=");
        clone.edit("README", |text| format!("{text}{line}\n"));
        clone.commit("Copy");
    };
    let moves = desk.accepts(copied, TOPIC);
    assert_eq!(told(&moves), [at("github-pat", "README", 3)]);
    // Twice more in its own file. That it stands where it did is no move.
    let doubled = |clone: &Clone| {
        clone.git(&["checkout", "-q", "origin/topic"]);
        let line = clone.line("conf/public.env", "T=");
        clone.edit("conf/public.env", |text| format!("{text}{line}\n{line}\n"));
        clone.commit("Double");
    };
    let moves = desk.accepts(doubled, TOPIC);
    let there = |line| at("github-pat", "conf/public.env", line);
    assert_eq!(told(&moves), [there(4), there(5)]);
    // A secret of many lines.
    let key = |clone: &Clone| {
        clone.git(&["checkout", "-q", "origin/topic"]);
        clone.git(&["mv", "key.pem", "sub/key.pem"]);
        clone.commit("Move the key");
    };
    let moves = desk.accepts(key, TOPIC);
    assert_eq!(told(&moves), [at("private-key", "sub/key.pem", 2)]);
    let lines = pem(3).lines().count() as u64;
    assert_eq!((moves[0].first, moves[0].last), (2, 1 + lines));
    // What only stays where it is moves nothing.
    let beside = |clone: &Clone| {
        clone.git(&["checkout", "-q", "origin/topic"]);
        clone.edit("sub/key.pem", |text| format!("new\n{text}"));
        clone.commit("Beside");
    };
    assert_eq!(desk.accepts(beside, TOPIC), []);
}

#[test]
fn what_is_not_in_the_view_or_no_line_of_a_file_stays_refused() {
    let desk = desk();
    let refused = |act: &dyn Fn(&Clone), problem| desk.refuses(act, TOPIC, problem);
    let placeholder = |clone: &Clone| clone.line("conf/app.env", "T=")[2..].to_owned();
    // Made up, of a rule that is there or not.
    for rule in ["github-pat", "of-old-rules"] {
        let forged = |clone: &Clone| {
            let line = format!("T={FORGED}{rule}-0123456789abcdef\n");
            clone.edit("README", |text| format!("{text}{line}"));
            clone.commit("Forge");
        };
        refused(&forged, Problem::Changed);
    }
    // The key of many lines, without some of them.
    let cut = |clone: &Clone| {
        clone.edit("key.pem", |text| text.replacen("\n\n\n", "\n", 1));
        clone.commit("Cut");
    };
    refused(&cut, Problem::Changed);
    // Any byte beside it that does not stand there.
    for (before, behind) in [("export ", ""), ("", " "), ("", ";"), ("x", "")] {
        let beside = |clone: &Clone| {
            let line = clone.line("conf/app.env", "T=");
            clone.edit("README", |text| format!("{text}{before}{line}{behind}\n"));
            clone.commit("Change the line");
        };
        refused(&beside, Problem::Changed);
    }
    let glued = |clone: &Clone| {
        let placeholder = placeholder(clone);
        clone.edit("README", |text| format!("{text}z{placeholder}z\n"));
        clone.commit("Glue");
    };
    refused(&glued, Problem::Changed);
    // Files without lines, links, names, messages.
    let binary = |clone: &Clone| {
        clone.git(&["mv", "bin.dat", "other.dat"]);
        clone.commit("Move a file without lines");
    };
    refused(&binary, Problem::Changed);
    let link = |clone: &Clone| {
        clone.git(&["mv", "link", "other-link"]);
        clone.commit("Rename the link");
    };
    refused(&link, Problem::NotLines);
    let name = |clone: &Clone| {
        let placeholder = placeholder(clone);
        clone.write(&placeholder, "x\n");
        clone.commit("Name");
    };
    refused(&name, Problem::InName);
    let message = |clone: &Clone| clone.commit(&format!("See {}", placeholder(clone)));
    refused(&message, Problem::InMessage);
}

/// What a later commit of the same push keeps is told as well: its files are others.
#[test]
fn what_moved_is_told_of_each_file_that_has_it() {
    let desk = desk();
    let act = |clone: &Clone| {
        let line = clone.line("conf/app.env", "T=");
        clone.edit("README", |text| format!("{text}{line}\n"));
        clone.commit("Copy");
        clone.edit("README", |text| format!("above\n{text}"));
        clone.commit("Above");
        clone.git(&["mv", "README", "READ"]);
        clone.commit("Rename");
    };
    let moves = desk.accepts(act, TOPIC);
    let expected = [
        at("github-pat", "READ", 4),
        at("github-pat", "README", 3),
        at("github-pat", "README", 4),
    ];
    assert_eq!(told(&moves), expected);
}

/// What is found depends on what stands before it, and on how long it is.
const MEASURING: &str = r#"
provider = "Test"

[[rule]]
id = "test-pin"
description = "Test"
keywords = ["pin="]
pattern = 'pin=\n([0-9]{10,40})\n'
secret_group = 1
severity = "high"
confidence = "medium"
source = "https://example.org/"
examples = ['pin={nl}{digits:12}{nl}']
counter_examples = ['pin={digits:12}{nl}']

[[rule]]
id = "a-short-pin"
description = "Test"
keywords = ["pin="]
pattern = 'PIN\npin=\n([0-9]{10,15})\n'
secret_group = 1
severity = "high"
confidence = "high"
source = "https://example.org/"
examples = ['PIN{nl}pin={nl}{digits:12}{nl}']
counter_examples = ['PIN{nl}pin={nl}{digits:22}{nl}']
"#;

/// What somebody is told who puts a secret between lines of their own; and whether those who
/// decide are told more.
fn measured(digits: &str) -> (Vec<String>, Vec<bool>) {
    let mut desk = Desk::empty("sha1");
    (desk.may_move, desk.rules) = (true, MEASURING);
    let one = desk.clone_of("original.git", "author", &[]);
    one.git(&["checkout", "-q", "-b", "main"]);
    one.write("README", "clean\n");
    one.write("conf/a", &format!("pin=\n{digits}\nend\n"));
    one.commit("Root");
    one.git(&["push", "-q", "origin", "--all"]);
    desk.build("shadow.git");
    let (mut answers, mut unsound) = (Vec::new(), Vec::new());
    let texts: [fn(&str) -> String; 6] = [
        |line| format!("pin=\n{line}\n"),
        |line| format!("PIN\npin=\n{line}\n"),
        |line| format!("{line}\n"),
        |line| format!("pin=\n{line}0\n"),
        |line| format!("pin=\n0\n{line}\n"),
        |line| format!("pin=\n{line}\n{line}\n\0"),
    ];
    for text in texts {
        let clone = desk.masked(&[]);
        let shown = clone.read("conf/a");
        clone.write("README", &text(shown.lines().nth(1).unwrap()));
        clone.commit("Measure");
        let sent = desk.send(&clone, TOPIC);
        match desk.translate(&sent) {
            Ok(done) => {
                answers.push(format!("{:?}", told(&done.moves)));
                unsound.push(done.moves.iter().any(|it| it.unsound));
            }
            Err(refusal) => {
                answers.push(format!("{:?} {:?}", refusal.problem, refusal.line));
                unsound.push(false);
            }
        }
    }
    (answers, unsound)
}

#[test]
fn no_answer_tells_how_long_a_secret_is() {
    let (short, of_short) = measured("7301946258");
    let (long, of_long) = measured("73019462580417395628413");
    assert_eq!(short, long);
    let moved = format!("{:?}", [at("test-pin", "README", 2)]);
    assert_eq!(short[0], moved);
    assert_eq!(short[3], "Changed Some(2)");
    assert_eq!(short[5], "NotLines None");
    // Only those who decide are told whether the view would have it as it was pushed.
    assert_eq!(of_short, [false, true, true, false, true, false]);
    assert_eq!(of_long, [false, false, true, false, true, false]);
}

/// Placeholders that stand nowhere are sought once, as far as [`COMMITS`] commits.
const COMMITS: usize = 20_000;

#[test]
fn a_history_is_walked_as_far_as_is_told() {
    let mut desk = Desk::empty("sha1");
    desk.may_move = true;
    let stands = format!("T={}\n", secret(1));
    let gone = format!("U={}\n", secret(2));
    let blob = |mark: u8, text: &str| format!("blob\nmark :{mark}\ndata {}\n{text}\n", text.len());
    let commit = |number: usize| {
        let files = match number {
            0 => "M 100644 :1 conf/stands\nM 100644 :2 conf/gone\nM 100644 :3 README\n",
            1 => "D conf/gone\n",
            _ => "",
        };
        let time = 1_700_000_000 + number;
        format!("commit refs/heads/main\ncommitter A <a@b> {time} +0000\ndata 2\nx\n{files}\n")
    };
    let blobs = [blob(1, &stands), blob(2, &gone), blob(3, "clean\n")];
    let stream: Vec<String> = blobs.into_iter().chain((0..=COMMITS).map(commit)).collect();
    desk.import("original.git", &stream.concat());
    desk.build("shadow.git");
    let clone = desk.masked(&[]);
    let gone = clone.git(&["show", &format!("HEAD~{COMMITS}:conf/gone")]);
    let line = clone.line("conf/stands", "T=");
    clone.edit("README", |text| format!("{text}{line}\n"));
    clone.commit("What stands");
    let done = desk
        .translate(&desk.send(&clone, TOPIC))
        .unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(told(&done.moves), [at("github-pat", "README", 2)]);
    clone.edit("README", |text| format!("{text}{}\n", gone.trim_end()));
    clone.commit("What is gone");
    let refusal = desk.translate(&desk.send(&clone, TOPIC)).err().unwrap();
    assert_eq!((refusal.problem, refusal.line), (Problem::TooFar, Some(3)));
    assert!(refusal.to_string().contains("20000 commits"), "{refusal}");
}
