//! The one place where bytes meet the scanner.

use std::path::Path;

use refwarden_scan::gitleaks::{Base, load};
use refwarden_scan::{Finding, FingerprintKey, Ruleset, Scanner, Stream};

use crate::args::Scan;
use crate::failure::{Context as _, Outcome};
use crate::output::printable;

/// What is larger is scanned piece by piece, in bytes.
pub const WHOLE_MAX: u64 = 4 << 20;

/// Rules and key.
pub struct Engine {
    ruleset: Ruleset,
    key: FingerprintKey,
}

/// The rules that the arguments ask for: those that ship with the scanner, or a gitleaks.toml.
pub fn ruleset(args: &Scan) -> Outcome<Ruleset> {
    if let Some(file) = &args.config {
        return gitleaks(file, args.config_default.as_deref());
    }
    let shipped = if args.generic {
        Ruleset::builtin_and_generic(&[])
    } else {
        Ruleset::builtin()
    };
    shipped.context(|| "the rules cannot be used".to_owned())
}

/// What the file says that has no effect is told on standard error.
fn gitleaks(file: &Path, default: Option<&Path>) -> Outcome<Ruleset> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let name = file.display().to_string();
    let text = read(file).context(|| format!("{name} cannot be read"))?;
    let resolve = |base: Base<'_>| match (base, default) {
        // As gitleaks does, from the working directory.
        (Base::Path(path), _) => read(Path::new(path)),
        (Base::Default, Some(default)) => read(default),
        (Base::Default, None) => {
            Err("give a gitleaks release's own rules with --config-default FILE".to_owned())
        }
    };
    let loaded = load(&text, &name, resolve).context(|| "these rules cannot be used".to_owned())?;
    for note in loaded.notes {
        let text = printable(&note.text);
        eprintln!("note: {}:{}: {text}", printable(&note.file), note.line);
    }
    Ok(loaded.ruleset)
}

impl Engine {
    /// Pairs rules with the key of fingerprints.
    pub fn new(ruleset: Ruleset, key: FingerprintKey) -> Self {
        Self { ruleset, key }
    }

    /// The rules.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// A scanner for one thread.
    pub fn scanner(&self) -> Scanner<'_> {
        Scanner::new(&self.ruleset, self.key.clone())
    }
}

/// Scans bytes that are all there. `path` is what rules with a path condition are held against.
pub fn whole(scanner: &Scanner<'_>, bytes: &[u8], path: Option<&[u8]>) -> Vec<Finding> {
    scanner.scan(bytes, path)
}

/// Starts a scan of bytes that come in pieces.
pub fn stream<'s>(scanner: &'s Scanner<'_>, path: Option<&[u8]>) -> Stream<'s> {
    scanner.stream(path)
}
