//! Secrets that a push puts where they did not stand, where people are asked about that.

use refwarden_model::facts::SecretMove;
use refwarden_view::unmask::Problem;

use super::desk::{Clone, Desk};

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
    // A line of another file, upon what the push before has made.
    let copied = |clone: &Clone| {
        clone.git(&["checkout", "-q", "origin/topic"]);
        let line = clone.line("conf/public.env", "T=");
        clone.edit("README", |text| format!("{text}{line}\n"));
        clone.commit("Copy");
    };
    let moves = desk.accepts(copied, TOPIC);
    assert_eq!(told(&moves), [at("github-pat", "README", 3)]);
    // Once more in its own file, and in a line that is another one.
    let doubled = |clone: &Clone| {
        clone.git(&["checkout", "-q", "origin/topic"]);
        let line = clone.line("conf/public.env", "T=");
        clone.edit("conf/public.env", |text| {
            format!("{text}{line}\nexport {line}\n")
        });
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
    // Where masking would not find it again.
    let glued = |clone: &Clone| {
        let placeholder = placeholder(clone);
        clone.edit("README", |text| format!("{text}z{placeholder}z\n"));
        clone.commit("Glue");
    };
    refused(&glued, Problem::RoundTrip);
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
