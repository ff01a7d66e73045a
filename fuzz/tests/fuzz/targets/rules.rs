//! Rule files, those of gitleaks as well.

use std::sync::LazyLock;

use refwarden_scan::{FingerprintKey, Ruleset, Scanner, gitleaks};

use super::{bytes, words_of};
use crate::engine::Target;

/// A text that rules of these files are about, with something that they find.
static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let line =
        "alpha-12345 beta_9 = 'k3y9w0zz' secret: abc.def TOKEN=XYZ987 %41%42 0123456789abcdef\n";
    let quiet = "nothing in this line that anybody would look for, and much of it\n";
    [line.repeat(20), quiet.repeat(4_500), line.repeat(3)]
        .concat()
        .into_bytes()
});

/// Scans whole and in pieces.
fn scanned(ruleset: &Ruleset) -> String {
    let scanner = Scanner::new(ruleset, FingerprintKey::new([7; 32]));
    let whole = scanner.scan(&TEXT, Some(b"src/a.txt"));
    let mut stream = scanner.stream(Some(b"src/a.txt"));
    TEXT.chunks(70_001).for_each(|piece| stream.push(piece));
    assert_eq!(stream.finish(), whole, "pieces change what is found");
    format!(
        "{} findings of {}",
        if whole.is_empty() { "no" } else { "some" },
        ruleset.rules().count()
    )
}

/// A rule file of our own.
pub fn rule_file() -> Target {
    let seeds = bytes(&[
        "provider = \"T\"\n[[rule]]\nid = \"a\"\ndescription = \"d\"\nkeywords = [\"alpha-\"]\n\
         pattern = 'alpha-([0-9]{4,9})'\nsecret_group = 1\nentropy = 1.5\nseverity = \"low\"\n\
         confidence = \"low\"\nchecksum = \"crc32-base62\"\nmax_length = 40\n",
        "provider = \"T\"\n[[rule]]\nid = \"b\"\ndescription = \"d\"\nkeywords = [\"beta\", \"TOKEN\"]\n\
         keywords_exact = true\npattern = '''(?i)(beta_|token=)[a-z0-9]+'''\nseverity = \"high\"\n\
         confidence = \"high\"\nallow = ['^x+$']\nstopwords = [\"test\"]\nsupersedes = [\"c\"]\n\
         [[rule]]\nid = \"c\"\ndescription = \"d\"\npattern = '(?m)^\\w+ [^\\n]*$'\npath = '\\.txt$'\n\
         severity = \"medium\"\nconfidence = \"medium\"\ngeneric = true\nexamples = ['x']\n\
         counter_examples = ['y']\nsource = \"https://example.org/\"\nexample_path = \"a.txt\"\n",
    ]);
    let mut words = words_of(&seeds);
    words.extend(bytes(&[
        "{2,5}",
        "*",
        "+?",
        "\\b",
        "[^x]",
        "(?:",
        "|",
        "$",
        "(?i)",
        "\\z",
        "[[:alpha:]]",
        "{1000}",
    ]));
    Target {
        name: "",
        words,
        seeds,
        longest: 4 * 1024,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            match Ruleset::from_toml(&[("f.toml", &text)]) {
                Ok(ruleset) => scanned(&ruleset),
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.starts_with("f.toml:"), "{said}");
                    said
                }
            }
        },
    }
}

/// A `gitleaks.toml`.
pub fn gitleaks_toml() -> Target {
    let seeds = bytes(&[
        "title = \"t\"\n[extend]\nuseDefault = true\ndisabledRules = [\"x\"]\n[[rules]]\nid = \"a\"\n\
         description = \"d\"\nregex = '''(?i)alpha-([0-9]{4,9})(?:[\\s']|$)'''\nsecretGroup = 1\nentropy = 1.5\n\
         keywords = [\"alpha-\"]\ntags = [\"t\"]\n[[rules.allowlists]]\ncondition = \"AND\"\n\
         regexTarget = \"line\"\nregexes = ['''^x''']\npaths = ['''\\.md$''']\nstopwords = [\"test\"]\n",
        "[allowlist]\npaths = ['''vendor/''']\ncommits = [\"abc\"]\n[[rules]]\nid = \"b\"\n\
         regex = '''beta_[0-9]+''' \nkeywords = [\"beta\"]\n[[rules]]\nid = \"c\"\npath = '''\\.txt$'''\n\
         [[rules]]\nid = \"d\"\nregex = '''TOKEN=[A-Z0-9]{4,}'''\nkeywords = [\"token\"]\n\
         [[rules.required]]\nid = \"b\"\nwithinLines = 2\nwithinColumns = 80\n",
    ]);
    let mut words = words_of(&seeds);
    words.extend(bytes(&[
        "{2,5}",
        "\\Q",
        "\\E",
        "\\pL",
        "[[:alpha:]]",
        "{,3}",
        "(?P<a>",
        "\\x{10FFFF}",
        "[a&&b]",
        "\\<",
        "(?i:",
        "{1001}",
        "(?s)",
        "[\\w.-]{0,50}?",
    ]));
    Target {
        name: "",
        words,
        seeds,
        longest: 4 * 1024,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            let base =
                "[[rules]]\nid = \"x\"\nregex = '''secret: [a-z.]+'''\nkeywords = [\"secret\"]\n";
            match gitleaks::load(&text, "g.toml", |_| Ok(base.to_owned())) {
                Ok(loaded) => scanned(&loaded.ruleset),
                Err(error) => error.to_string(),
            }
        },
    }
}

/// A `.gitleaksignore`.
pub fn gitleaks_ignore() -> Target {
    let seeds = bytes(&[
        "# known\nsrc/a.txt:a:3\nabcdef:src\\b.txt:b:10\n",
        "nothing\n::\n:::\n::::\n",
    ]);
    Target {
        name: "",
        words: bytes(&[":", "\n", "#", "\\", "src/a.txt", "\r\n", "é", "\u{2028}"]),
        seeds,
        longest: 4 * 1024,
        run: |input| {
            let text = String::from_utf8_lossy(input);
            let (ignore, notes) = gitleaks::Ignore::parse(&text, ".gitleaksignore");
            for note in &notes {
                assert!(note.line >= 1 && note.line <= text.lines().count());
            }
            format!(
                "{} {}",
                format!("{ignore:?}").len().min(9),
                notes.len().min(3)
            )
        },
    }
}
