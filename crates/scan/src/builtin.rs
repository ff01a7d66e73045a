//! The rules that ship with the crate, as its build script writes them.
//!
//! Hooks load them at every push, so what a scan needs stands apart from what people and tests
//! read, and both are in a form that reads quickly. The truth is `rules/*.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::error::RuleError;
use crate::rule::{Notes, Rule};

/// All of them, generic ones included, sorted by id.
pub(crate) fn rules() -> Result<Vec<Rule>, RuleError> {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/rules.json"))).map_err(|error| {
        RuleError::Syntax {
            file: "the default rules".to_owned(),
            line: error.line(),
            message: error.to_string(),
        }
    })
}

/// What stands beside the rule with this id; nothing if no default rule has it.
pub(crate) fn notes(id: &str) -> &'static Notes {
    static NOTES: OnceLock<BTreeMap<String, Notes>> = OnceLock::new();
    static NONE: Notes = Notes {
        source: String::new(),
        example_path: None,
        examples: Vec::new(),
        counter_examples: Vec::new(),
    };
    NOTES
        .get_or_init(|| {
            serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/notes.json")))
                .unwrap_or_default()
        })
        .get(id)
        .unwrap_or(&NONE)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::load::load;
    use crate::matcher::PathMatcher;

    fn sorted(mut rules: Vec<Rule>) -> Vec<Rule> {
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        rules
    }

    /// The build script checks nothing: this is where a fault in a default rule shows.
    #[test]
    fn the_build_script_keeps_all_that_the_files_say() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
        let texts: Vec<(String, String)> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let text = fs::read_to_string(&path).unwrap();
                (path.display().to_string(), text)
            })
            .collect();
        let files: Vec<_> = texts
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()))
            .collect();
        let read = sorted(load(&files, &[]).unwrap());
        let shipped = sorted(rules().unwrap());
        assert_eq!(read.len(), shipped.len());
        for (mut read, mut shipped) in read.into_iter().zip(shipped) {
            shipped.path_ends.clear();
            let own = read.notes.take().unwrap();
            assert_eq!(&own, notes(&read.id));
            assert_eq!(format!("{read:?}"), format!("{shipped:?}"));
        }
    }

    /// Nearly every condition is answered by its ends, and no answer differs by them.
    #[test]
    fn the_ends_of_paths_never_change_an_answer() {
        let rules = rules().unwrap();
        let conditional = || rules.iter().filter(|rule| rule.path.is_some());
        let without_ends = conditional().filter(|rule| rule.path_ends.is_empty());
        let names: Vec<&str> = without_ends.map(Rule::id).collect();
        assert!(names.len() <= 8, "{names:?}");
        let mut paths: Vec<Vec<u8>> = Vec::new();
        for rule in conditional() {
            let example = notes(&rule.id).example_path.clone();
            let ends = rule.path_ends.iter().cloned().chain(example);
            for end in ends {
                paths.push(end.clone().into_bytes());
                paths.push(format!("folder/{end}").into_bytes());
                paths.push(format!("folder/x{end}").into_bytes());
                paths.push(format!("folder/{end}x").into_bytes());
                paths.push(end.to_ascii_uppercase().into_bytes());
            }
        }
        for rule in conditional() {
            let condition = PathMatcher::compile(rule.path.as_deref().unwrap());
            for path in &paths {
                let answer = rule.applies_to(Some(path));
                let path = String::from_utf8_lossy(path);
                assert_eq!(
                    answer,
                    condition.is_match(path.as_bytes()),
                    "{}: {path}",
                    rule.id
                );
            }
        }
    }
}
