//! `docs/rules.md` says what the rules say.
//!
//! To write it anew: `UPDATE_DOCS=1 cargo test -p refwarden-scan --test rules_document`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use refwarden_scan::{Rule, Ruleset};

const HEAD: &str = "\
# Built-in rules

Generated from `crates/scan/rules/*.toml`; to write it anew, run
`UPDATE_DOCS=1 cargo test -p refwarden-scan --test rules_document`.

*Confidence* is how likely a match is a real secret: **high** for a shape that nothing else has,
**medium** for one that needs the words around it or the file it stands in, **low** for a guess from
a name. Of findings that overlap, those of the less confident rule are dropped. *Verified* names
what is checked beyond the pattern: a checksum inside the format, its structure, or that a password
is more than a word of documentation. *Where* is the regular expression that a file's path must
match, if the rule has such a condition. A *generic* rule guesses; it is meant to be recorded, not
to refuse a push, unless policy says otherwise.
";

#[test]
fn the_document_is_up_to_date() {
    let ruleset = Ruleset::builtin_and_generic(&[]).unwrap();
    let mut providers: BTreeMap<(String, &str), Vec<&Rule>> = BTreeMap::new();
    for rule in ruleset.rules() {
        let name = rule.provider();
        let place = (name.to_lowercase(), name);
        providers.entry(place).or_default().push(rule);
    }
    let mut text = String::from(HEAD);
    let count = ruleset.rules().count();
    writeln!(text, "\n{count} rules of {} providers.", providers.len()).unwrap();
    for ((_, provider), rules) in &providers {
        write!(text, "\n## {provider}\n\n").unwrap();
        text.push_str("| rule | finds | confidence | severity | verified | where |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for rule in rules {
            text.push_str(&line(rule));
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == text,
        "docs/rules.md is out of date; see the head of this file"
    );
}

fn line(rule: &Rule) -> String {
    let id = if rule.source().starts_with("https://") {
        format!("[{}]({})", rule.id(), rule.source())
    } else {
        format!("[{}](../{})", rule.id(), rule.source())
    };
    let generic = if rule.is_generic() { ", generic" } else { "" };
    let path = rule.path().map_or_else(String::new, |path| {
        // A bar would end the cell.
        format!("`{}`", path.replace('|', "\\|"))
    });
    format!(
        "| {id} | {} | {}{generic} | {} | {} | {path} |\n",
        rule.description(),
        rule.confidence(),
        rule.severity(),
        rule.verification().unwrap_or(""),
    )
}
