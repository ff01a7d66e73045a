//! The one place where bytes meet the scanner.

use std::io::ErrorKind;
use std::path::Path;

use refwarden_scan::gitleaks::{Base, Ignore, Note, load};
use refwarden_scan::{Finding, FingerprintKey, Inspection, Limits, Ruleset, Scanner};

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
    tell(&loaded.notes);
    Ok(loaded.ruleset)
}

/// The name by which gitleaks knows the file of places that somebody has looked at.
const IGNORE_FILE: &str = ".gitleaksignore";

/// The places that do not count. Lines that say none are told on standard error.
pub fn ignore(args: &Scan) -> Outcome<Ignore> {
    let own = args.config.as_ref().map(|_| Path::new(IGNORE_FILE));
    let Some(path) = args.ignore_file.as_deref().or(own) else {
        return Ok(Ignore::default());
    };
    let name = path.display().to_string();
    let text = match std::fs::read(path) {
        Err(error) if args.ignore_file.is_none() && error.kind() == ErrorKind::NotFound => {
            return Ok(Ignore::default());
        }
        read => read.context(|| format!("{name} cannot be read"))?,
    };
    let (ignore, notes) = Ignore::parse(&String::from_utf8_lossy(&text), &name);
    tell(&notes);
    Ok(ignore)
}

fn tell(notes: &[Note]) {
    for note in notes {
        let text = printable(&note.text);
        eprintln!("note: {}:{}: {text}", printable(&note.file), note.line);
    }
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

/// Scans bytes that are all there, and what is inside where they are a container.
pub fn inspect(scanner: &Scanner<'_>, bytes: &[u8], path: Option<&[u8]>) -> Inspection {
    scanner.inspect(bytes, path, &Limits::default())
}

/// The same under another path, once `first` was found under one.
pub fn inspect_again(
    scanner: &Scanner<'_>,
    bytes: &[u8],
    path: Option<&[u8]>,
    first: &Inspection,
) -> Inspection {
    scanner.inspect_again(bytes, path, first, &Limits::default())
}
