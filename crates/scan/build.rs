//! Turns `rules/*.toml` into the two JSON files that `src/builtin.rs` compiles in: what a scan
//! needs of each rule, and the notes on it (source, examples). It checks nothing; tests do.
//!
//! With a condition on paths goes what such a path must end with, so that the condition itself
//! has to be compiled for hardly any path.

use std::path::{Path, PathBuf};
use std::{env, fs};

use regex_syntax::hir::literal::{ExtractKind, Extractor, Literal};
use serde_json::{Map, Value};

/// The keys of a rule that no scan reads.
const NOTES: [&str; 4] = ["source", "example_path", "examples", "counter_examples"];

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=rules");
    let mut files = fs::read_dir("rules")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Outcome<Vec<PathBuf>>>()?;
    files.sort();
    let (mut rules, mut notes) = (Vec::new(), Map::new());
    for file in files {
        read(&file, &mut rules, &mut notes)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    // So that whoever loads them finds them sorted.
    rules.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("rules.json"), serde_json::to_string(&rules)?)?;
    fs::write(out.join("notes.json"), serde_json::to_string(&notes)?)?;
    Ok(())
}

fn read(file: &Path, rules: &mut Vec<Value>, notes: &mut Map<String, Value>) -> Outcome<()> {
    let mut text: Value = toml::from_str(&fs::read_to_string(file)?)?;
    let provider = text.get("provider").cloned().ok_or("no provider")?;
    let Some(Value::Array(list)) = text.get_mut("rule").map(Value::take) else {
        return Err("no rules".into());
    };
    for rule in list {
        let Value::Object(mut rule) = rule else {
            return Err("a rule is not a table".into());
        };
        let id = rule
            .get("id")
            .and_then(Value::as_str)
            .ok_or("a rule has no id")?;
        let id = id.to_owned();
        let aside = NOTES
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), rule.remove(*key)?)))
            .collect();
        notes.insert(id, Value::Object(aside));
        if let Some(ends) = rule.get("path").and_then(Value::as_str).and_then(ends) {
            rule.insert("path_ends".to_owned(), ends.into());
        }
        rule.insert("provider".to_owned(), provider.clone());
        rules.push(Value::Object(rule));
    }
    Ok(())
}

/// More ends than this are not worth comparing.
const ENDS_MAX: usize = 100;

/// Texts of which one ends every match. None if there are too many, or one is empty.
fn ends(pattern: &str) -> Option<Vec<String>> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build();
    let found = Extractor::new()
        .kind(ExtractKind::Suffix)
        .limit_class(20)
        .limit_total(5_000)
        .extract(&parser.parse(pattern).ok()?);
    let all: Vec<&[u8]> = found.literals()?.iter().map(Literal::as_bytes).collect();
    // `x/.name` says no more than `.name`.
    let is_needless = |end: &[u8]| {
        let mut others = all.iter().filter(|other| other.len() < end.len());
        others.any(|other| end.ends_with(other))
    };
    let ends: Vec<&[u8]> = all
        .iter()
        .copied()
        .filter(|end| !is_needless(end))
        .collect();
    let text = |end: &[u8]| {
        String::from_utf8(end.to_vec())
            .ok()
            .filter(|end| !end.is_empty())
    };
    if ends.len() > ENDS_MAX {
        return None;
    }
    ends.into_iter().map(text).collect()
}
