//! The rule files that ship with the crate.

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$((concat!("rules/", $name, ".toml"), include_str!(concat!("../rules/", $name, ".toml")))),+]
    };
}

/// Name and text of each file.
pub(crate) const FILES: &[(&str, &str)] = files!["github",];
