//! How time grows with the number of rules: the same generated `gitleaks.toml`, in Refwarden and
//! in gitleaks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Numbers of rules that are compared.
pub const COUNTS: [usize; 3] = [50, 200, 1000];

/// Writes a file of so many rules, each with a prefix of its own as providers have them.
pub fn write(into: &Path, count: usize) -> PathBuf {
    let mut text = String::new();
    for number in 0..count {
        // Letters in an order that has no pattern, all of them different.
        let mut state = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut prefix = String::new();
        for _ in 0..5 {
            let letter = u8::try_from((state >> 59) % 26).unwrap();
            prefix.push(char::from(b'a' + letter));
            state = state
                .wrapping_mul(0xD129_0E71_8BD9_3FC5)
                .wrapping_add(number as u64);
        }
        write!(
            text,
            "[[rules]]\nid = \"rule-{number}\"\nregex = '''\\b({prefix}_[a-z0-9]{{32}})(?:[\\s'\"]|$)'''\nkeywords = [\"{prefix}_\"]\n"
        )
        .unwrap();
    }
    let path = into.join(format!("rules-{count}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}
