//! What is fed, with what, and what must hold.

pub mod container;
pub mod git;
pub mod rules;
pub mod scan;
pub mod words;

/// Each as bytes.
fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The blocks of TOML of a document.
fn blocks(document: &str) -> Vec<Vec<u8>> {
    let after = document.split("```toml\n").skip(1);
    let blocks = after.filter_map(|text| Some(text.split_once("\n```")?.0));
    blocks
        .map(|text| format!("{text}\n").into_bytes())
        .collect()
}

/// Words of texts, each once.
fn words_of(texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let is_part = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_' && *byte != b'-';
    let mut words: Vec<Vec<u8>> = texts
        .iter()
        .flat_map(|text| text.split(is_part))
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    words.extend(bytes(&[
        " = ", "\"", "'''", "[", "]", "[[", "]]", "{ ", " }", "\n", "true", "-1", "1e9", "\\u0000",
        "é", "\u{feff}",
    ]));
    words.sort();
    words.dedup();
    words
}
