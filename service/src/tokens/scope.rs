//! The `scope` parameter of a token request: words such as `repo:team/*`, `ref:refs/heads/x`,
//! `verb:fetch`, `path:src/**`, separated by spaces (RFC 6749, section 3.3).

use refwarden_policy::{Scopes, TokenScope};
use serde_json::{Value, json};

/// Reads the parameter. Nothing said narrows nothing.
///
/// # Errors
/// One sentence about the first word that is not understood.
pub fn parse(text: &str) -> Result<Scopes, String> {
    let mut claim = serde_json::Map::new();
    for word in text.split_ascii_whitespace() {
        let (kind, value) = word.split_once(':').unwrap_or((word, ""));
        let list = match kind {
            "repo" => "repositories",
            "ref" => "refs",
            "verb" => "verbs",
            "path" => "paths",
            _ => {
                return Err(format!(
                    "scope '{word}': expected repo:, ref:, verb: or path:"
                ));
            }
        };
        let list = claim.entry(list).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!(value));
        }
    }
    if claim.is_empty() {
        return Ok(Scopes::default());
    }
    Scopes::from_claim(&Value::Object(claim)).map_err(|error| error.to_string())
}

/// Scopes as the answer to a token request writes them; empty where there is no one way to
/// write them.
pub fn write(scopes: &Scopes) -> String {
    let Ok(Value::Array(all)) = serde_json::to_value(scopes) else {
        return String::new();
    };
    let [one] = all.as_slice() else {
        return String::new();
    };
    let Ok(TokenScope {
        repositories,
        refs,
        verbs,
        paths,
    }) = serde_json::from_value(one.clone())
    else {
        return String::new();
    };
    let verbs = verbs.map(|verbs| {
        let names = verbs
            .iter()
            .map(|verb| json!(verb).as_str().map(str::to_owned));
        names.flatten().collect::<Vec<_>>()
    });
    let lists = [
        ("repo", repositories),
        ("ref", refs),
        ("verb", verbs),
        ("path", paths),
    ];
    let words = lists.into_iter().flat_map(|(kind, list)| {
        let list = list.unwrap_or_default().into_iter();
        list.map(move |value| format!("{kind}:{value}"))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "",
            "repo:team/* verb:fetch",
            "repo:a repo:b ref:refs/heads/x verb:create verb:update path:src/**",
        ] {
            assert_eq!(write(&parse(text).unwrap()), text);
        }
        for bad in ["push", "repo:", "verb:push", "refs:x", "repo:a :"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
