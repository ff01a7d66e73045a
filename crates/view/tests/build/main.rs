//! Shadows of real repositories, made and read by real git.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod notes;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use refwarden_gitio::{Git, ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_scan::{FingerprintKey, Ruleset, example};
use refwarden_view::build::{Built, build};
use refwarden_view::{Mask, cache};
use tempfile::TempDir;

const ME: &str = "A <a@example.org> 1700000000 +0000";

fn secret(seed: u64) -> String {
    String::from_utf8(example::expand("ghp_{base62:30}{crc32}", seed)).unwrap()
}

struct Desk {
    directory: TempDir,
    format: &'static str,
}

impl Desk {
    fn new(format: &'static str) -> Self {
        let desk = Self {
            directory: tempfile::tempdir().unwrap(),
            format,
        };
        let option = format!("--object-format={format}");
        desk.git(&["init", "-q", "--bare", "-b", "main", &option], b"");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn at(&self, name: &str, arguments: &[&str], input: &[u8]) -> String {
        let env = ObjectEnv::repository_only();
        let git = Git::new(&self.path(name), &env, arguments[0]).args(&arguments[1..]);
        String::from_utf8_lossy(&git.output(input).unwrap())
            .trim_end()
            .to_owned()
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        self.at("r.git", arguments, input)
    }

    /// Commits by git-fast-import(1).
    fn import(&self, stream: &str) {
        self.git(&["fast-import", "--quiet", "--force"], stream.as_bytes());
    }

    fn value(&self, name: &str, revision: &str) -> String {
        self.at(name, &["rev-parse", "--verify", revision], b"")
    }

    fn refs(&self, name: &str) -> String {
        let all = self.at(
            name,
            &[
                "for-each-ref",
                "--format=%(objectname) %(refname) %(symref)",
            ],
            b"",
        );
        all + &std::fs::read_to_string(self.path(name).join("HEAD")).unwrap()
    }

    fn build(&self, from: &str, into: &str) -> Built {
        let ruleset = Ruleset::builtin().unwrap();
        let mask = Mask::new(&ruleset, &FingerprintKey::new([7; 32])).unwrap();
        let original = Repository::open(&self.path(from)).unwrap();
        build(&original, &mask, &self.path(into)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Every object of a repository, inflated.
    fn everything(&self, name: &str) -> Vec<u8> {
        let env = ObjectEnv::repository_only();
        let git = Git::new(&self.path(name), &env, "cat-file");
        git.args(["--batch", "--batch-all-objects"])
            .output(b"")
            .unwrap()
    }

    /// No secret, in no encoding, and no name of an object that has another one in the view.
    fn tells_nothing(&self, shadow: &str, built: &Built, secrets: &[String]) {
        let mut all = self.everything(shadow);
        all.extend(self.refs(shadow).into_bytes());
        let holds = |needle: &[u8]| memchr::memmem::find(&all, needle).is_some();
        for secret in secrets {
            let encoded = STANDARD.encode(secret);
            assert!(!holds(secret.as_bytes()), "a secret");
            assert!(
                !holds(&encoded.as_bytes()[..encoded.len() - 4]),
                "in base64"
            );
            assert!(!holds(hex::encode(secret).as_bytes()), "in hexadecimal");
        }
        for (from, _) in built.map.iter().filter(|(from, to)| from != to) {
            assert!(!holds(from.to_string().as_bytes()), "{from}");
            assert!(!holds(from.raw()), "{from} in binary");
        }
        assert!(!self.path(shadow).join("objects/info/alternates").exists());
        self.at(shadow, &["fsck", "--strict", "--full"], b"");
    }
}

fn data(text: &str) -> String {
    format!("data {}\n{text}\n", text.len())
}

fn file(mode: &str, name: &str, text: &str) -> String {
    format!("M {mode} inline {name}\n{}", data(text))
}

fn commit(mark: u32, name: &str, message: &str, rest: &str) -> String {
    let message = data(message);
    format!("commit {name}\nmark :{mark}\nauthor {ME}\ncommitter {ME}\n{message}{rest}\n")
}

fn tag(name: &str, from: &str, message: &str) -> String {
    format!("tag {name}\nfrom {from}\ntagger {ME}\n{}", data(message))
}

/// A history with secrets in files, messages and tags; answers its secrets.
fn history(desk: &Desk) -> Vec<String> {
    let secrets: Vec<String> = (1..=5).map(secret).collect();
    let [one, two, third, four, five] = &secrets[..] else {
        panic!()
    };
    let main = "refs/heads/main";
    let stream = [
        commit(
            1,
            main,
            "Root\n",
            &(file("100644", "README", "clean\n") + &file("100644", "b/c", "d\n")),
        ),
        commit(
            2,
            main,
            "Config\n",
            &(file("100644", "conf/app.env", &format!("A=1\nT={one}\nB=2\n"))
                + &file("100644", "a.txt", &format!("x {one} {two}\n"))),
        ),
        commit(3, main, "Move\n", "R a.txt deep/er/b.txt\n"),
        commit(
            4,
            main,
            "Mode\n",
            &file("100755", "deep/er/b.txt", &format!("x {one} {two}\n")),
        ),
        commit(
            5,
            "refs/heads/side",
            "Side\n",
            &("from :1\n".to_owned() + &file("100644", "s", "side\n")),
        ),
        commit(
            6,
            main,
            "Merge\n",
            &("from :4\nmerge :5\n".to_owned() + &file("100644", "s", "side\n")),
        ),
        commit(7, main, &format!("Oops {third}\n\nmore\n"), ""),
        commit(
            8,
            main,
            "Name\n",
            &file("100644", &format!("dir/k-{four}/f"), "f\n"),
        ),
        tag("v0", ":1", "clean\n"),
        tag("v1", ":6", &format!("about {five}\n")),
        tag("v1-clean", ":6", "release\n"),
    ];
    desk.import(&stream.concat());
    let reverted = desk.value("r.git", "main~2");
    let (tree, parent) = (
        desk.value("r.git", "main^{tree}"),
        desk.value("r.git", "main"),
    );
    let blob = desk.value("r.git", "main:conf/app.env");
    let raw = format!(
        "tree {tree}\nparent {parent}\nauthor {ME}\ncommitter {ME}\ngpgsig -----BEGIN PGP SIGNATURE-----\n abc\n -----END PGP SIGNATURE-----\n\nRevert\n\nThis reverts commit {reverted},\nshort {}, blob {blob}, clean {}.\n",
        &reverted[..9],
        &desk.value("r.git", "side")[..12],
    );
    let signed = desk.git(
        &["hash-object", "-t", "commit", "-w", "--stdin"],
        raw.as_bytes(),
    );
    desk.git(&["update-ref", main, &signed], b"");
    desk.git(&["symbolic-ref", "refs/heads/alias", main], b"");
    let nested = format!(
        "object {}\ntype tag\ntag v2\ntagger {ME}\n\nnested\n",
        desk.value("r.git", "refs/tags/v1")
    );
    let nested = desk.git(
        &["hash-object", "-t", "tag", "-w", "--stdin"],
        nested.as_bytes(),
    );
    desk.git(&["update-ref", "refs/tags/v2", &nested], b"");
    desk.git(&["update-ref", "refs/tags/blob", &blob], b"");
    desk.git(&["update-ref", &format!("refs/heads/{four}"), "main"], b"");
    desk.git(
        &["update-ref", &format!("refs/replace/{parent}"), &signed],
        b"",
    );
    secrets
}

#[test]
fn a_shadow_holds_no_secret_and_everything_else() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::new(format);
        let secrets = history(&desk);
        desk.git(&["fsck", "--strict", "--full"], b"");
        let built = desk.build("r.git", "one.git");
        desk.tells_nothing("one.git", &built, &secrets);
        assert_eq!(built.counts.refs_with_secrets, 1);
        // What no secret touches keeps its name.
        for name in ["side", "refs/tags/v0", "main~7"] {
            assert_eq!(
                desk.value("one.git", name),
                desk.value("r.git", name),
                "{name}"
            );
        }
        for name in [
            "main",
            "refs/tags/v1",
            "refs/tags/v1-clean",
            "refs/tags/v2",
            "refs/tags/blob",
        ] {
            assert_ne!(
                desk.value("one.git", name),
                desk.value("r.git", name),
                "{name}"
            );
        }
        assert_eq!(
            desk.value("one.git", "refs/heads/alias"),
            desk.value("one.git", "main")
        );
        assert!(!desk.refs("one.git").contains("refs/replace"));
        let commit = desk.at("one.git", &["cat-file", "-p", "main"], b"");
        assert!(!commit.contains("gpgsig"), "{commit}");
        let (reverted, side) = (
            desk.value("one.git", "main~3"),
            desk.value("one.git", "side"),
        );
        assert!(commit.contains(&format!("commit {reverted},")), "{commit}");
        assert!(
            commit.contains(&format!("short {},", &reverted[..9])),
            "{commit}"
        );
        assert!(
            commit.contains(&format!("clean {}.", &side[..12])),
            "{commit}"
        );
        let env = desk.at("one.git", &["cat-file", "-p", "main:conf/app.env"], b"");
        let lines: Vec<&str> = env.lines().collect();
        assert_eq!((lines[0], lines[2]), ("A=1", "B=2"));
        assert!(
            lines[1].starts_with("T=REFWARDEN-MASKED-github-pat-"),
            "{env}"
        );
        let modes = desk.at("one.git", &["ls-tree", "main:deep/er"], b"");
        assert!(modes.starts_with("100755 blob"), "{modes}");
        // Again, from a repository that is packed otherwise, and from the shadow itself.
        desk.git(&["repack", "-adq"], b"");
        desk.git(&["pack-refs", "--all"], b"");
        let again = desk.build("r.git", "two.git");
        assert_eq!(again.map, built.map);
        assert_eq!(desk.refs("one.git"), desk.refs("two.git"));
        let masked = desk.build("one.git", "three.git");
        assert_eq!(desk.refs("one.git"), desk.refs("three.git"));
        assert_eq!((masked.counts.rewritten, masked.counts.renamed), (0, 0));
        // A clone brings what the shadow has.
        let from = format!("file://{}", desk.path("one.git").display());
        desk.at(
            "clone.git",
            &[
                "init",
                "-q",
                "--bare",
                &format!("--object-format={}", desk.format),
            ],
            b"",
        );
        desk.at("clone.git", &["fetch", "-q", &from, "+refs/*:refs/*"], b"");
        assert_eq!(
            desk.value("clone.git", "main"),
            desk.value("one.git", "main")
        );
    }
}

#[test]
fn empty_and_detached_repositories_have_a_shadow() {
    let desk = Desk::new("sha1");
    let built = desk.build("r.git", "empty.git");
    assert_eq!((built.counts.objects, built.map.len()), (0, 0));
    assert_eq!(desk.refs("empty.git"), "ref: refs/heads/main\n");
    desk.import(&commit(
        1,
        "refs/heads/x",
        "m\n",
        &file("100644", "f", &secret(1)),
    ));
    let tip = desk.value("r.git", "refs/heads/x");
    std::fs::write(desk.path("r.git").join("HEAD"), format!("{tip}\n")).unwrap();
    desk.git(&["update-ref", "-d", "refs/heads/x"], b"");
    let built = desk.build("r.git", "detached.git");
    let new = built.map[0].1;
    assert_ne!(new.to_string(), tip);
    assert_eq!(desk.refs("detached.git"), format!("{new}\n"));
    desk.tells_nothing("detached.git", &built, &[secret(1)]);
}

#[test]
fn generations_switch_and_drop() {
    let desk = Desk::new("sha1");
    let secrets = history(&desk);
    let ruleset = Ruleset::builtin().unwrap();
    let key = FingerprintKey::new([1; 32]);
    let original = Repository::open(&desk.path("r.git")).unwrap();
    let cache = desk.path("cache");
    let place = cache::Place::new(&cache, &original, &ruleset, &key);
    assert!(place.current().is_none());
    // What a killed build leaves behind is no view, and is in nobody's way.
    std::fs::create_dir_all(place.directory().join("generations/1/shadow.git")).unwrap();
    std::os::unix::fs::symlink("generations/1", place.directory().join("next")).unwrap();
    assert!(place.current().is_none());
    let first = place.build(&original, &ruleset, &key).unwrap();
    let second = place.build(&original, &ruleset, &key).unwrap();
    assert_eq!((first.generation, second.generation), (1, 2));
    let (directory, about) = place.current().unwrap();
    assert_eq!(about, second);
    assert_eq!(cache::list(&cache).unwrap(), [(directory.clone(), second)]);
    let tip: Oid = desk.value("r.git", "main").parse().unwrap();
    let found = cache::lookup(&directory, &tip.to_string()).unwrap();
    assert_eq!(found[0].0, tip);
    assert_eq!(
        cache::lookup(&directory, &found[0].1.to_string()).unwrap(),
        found
    );
    let text = std::fs::read(cache::shadow(&directory).join("packed-refs")).unwrap();
    assert!(memchr::memmem::find(&text, secrets[3].as_bytes()).is_none());
    assert!(place.drop_view().unwrap() && !place.drop_view().unwrap());
    assert!(cache::list(&cache).unwrap().is_empty());
}

/// What a commit of a generated history does: parents, a place, a kind of content, a seed.
type Step = (u8, u8, u8, u8, u64);

fn generated(steps: &[Step]) -> (String, Vec<String>) {
    let (mut stream, mut secrets) = (String::new(), Vec::new());
    let places = ["a", "d/a", "d/e/b", ".env", "x.key", "d/.npmrc"];
    // What each commit has, by number.
    let mut trees: Vec<BTreeSet<String>> = vec![BTreeSet::new()];
    for (number, (parent, other, place, kind, seed)) in (1u32..).zip(steps) {
        let before = |by: u8| number.saturating_sub(1 + u32::from(by) % 4);
        let (from, merged) = (before(*parent), before(*other));
        let mut rest = String::new();
        if from > 0 {
            rest.extend(["from :", &from.to_string(), "\n"]);
            if merged > 0 && merged != from {
                rest.extend(["merge :", &merged.to_string(), "\n"]);
            }
        }
        let mut paths = trees[from as usize].clone();
        let place = places[usize::from(*place) % places.len()];
        if kind % 6 > 3
            && let Some(old) = paths
                .iter()
                .nth(usize::try_from(*seed).unwrap() % paths.len().max(1))
                .cloned()
        {
            // A file, or the folder that it stands in, goes to where another may stand.
            let (old, new) = match old.split_once('/') {
                Some((folder, _)) if kind % 6 == 5 => (folder.to_owned(), format!("m{number}")),
                _ => (old, place.to_owned()),
            };
            let inside = |path: &str, of: &str| path == of || path.starts_with(&format!("{of}/"));
            if old != new && !inside(&new, &old) && !inside(&old, &new) {
                let moved: BTreeSet<String> = paths
                    .iter()
                    .filter(|it| inside(it, &old))
                    .cloned()
                    .collect();
                paths.retain(|it| !inside(it, &old) && !inside(it, &new));
                paths.extend(moved.iter().map(|it| it.replacen(&old, &new, 1)));
                let _ = writeln!(rest, "R {old} {new}");
            }
            trees.push(paths);
            stream += &commit(number, &format!("refs/heads/b{}", number % 3), "m\n", &rest);
            continue;
        }
        let text = match kind % 4 {
            0 => "clean\n".to_owned(),
            1 => format!("a\nt = \"{}\"\nb\n", secret(*seed)),
            2 => format!("{}\n{}\n", secret(*seed), secret(seed + 1)),
            _ => format!("\0 {}\n", secret(*seed)),
        };
        if kind % 4 > 0 {
            secrets.extend([secret(*seed), secret(seed + 1)]);
        }
        let mode = if seed % 3 == 0 { "100755" } else { "100644" };
        rest += &file(mode, place, &text);
        paths.insert(place.to_owned());
        trees.push(paths);
        stream += &commit(number, &format!("refs/heads/b{}", number % 3), "m\n", &rest);
    }
    (stream, secrets)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn laws_of_histories(steps in prop::collection::vec(any::<Step>().prop_map(|(a, b, c, d, e)| (a, b, c, d, e % 5)), 1..14)) {
        let (stream, secrets) = generated(&steps);
        let desk = Desk::new("sha1");
        desk.import(&stream);
        let built = desk.build("r.git", "one.git");
        desk.tells_nothing("one.git", &built, &secrets);
        desk.build("r.git", "two.git");
        prop_assert_eq!(desk.refs("one.git"), desk.refs("two.git"));
        let again = desk.build("one.git", "three.git");
        prop_assert_eq!(desk.refs("one.git"), desk.refs("three.git"));
        prop_assert_eq!(again.counts.rewritten, 0);
        // A commit of which neither the files nor the past hold a secret keeps its name.
        for (from, to) in &built.map {
            let touched = desk.git(&["log", "-p", "-m", "--text", "--root", "--format=", &from.to_string()], b"");
            let told = secrets.iter().any(|secret| touched.contains(secret));
            prop_assert_eq!(told, from != to);
        }
    }
}

/// The refs of the current shadow, and the names of everything that it holds.
fn held(place: &cache::Place) -> (String, String) {
    let (directory, _) = place.current().unwrap();
    let shadow = cache::shadow(&directory);
    let git = |arguments: &[&str]| {
        let env = ObjectEnv::repository_only();
        let git = Git::new(&shadow, &env, arguments[0]).args(&arguments[1..]);
        String::from_utf8(git.output(b"").unwrap()).unwrap()
    };
    git(&["fsck", "--strict", "--full"]);
    let objects = git(&[
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objectname)",
    ]);
    (git(&["for-each-ref"]), objects)
}

/// Whether refreshing, push by push, comes to what one build comes to. Answers which pushes could
/// not be followed by extending.
fn follows(desk: &Desk, pushes: &[(&str, String)]) -> Vec<String> {
    let mut cold_ones = Vec::new();
    let ruleset = Ruleset::builtin().unwrap();
    let key = FingerprintKey::new([7; 32]);
    let original = Repository::open(&desk.path("r.git")).unwrap();
    let place = |name: &str| cache::Place::new(&desk.path(name), &original, &ruleset, &key);
    let extended = place("extended");
    for (number, (what, stream)) in pushes.iter().enumerate() {
        desk.import(stream);
        let about = extended.refresh(&original, &ruleset, &key).unwrap();
        assert_eq!(extended.refresh(&original, &ruleset, &key).unwrap(), about);
        let cold = place(&format!("cold{number}"));
        cold.build(&original, &ruleset, &key).unwrap();
        assert_eq!(held(&extended), held(&cold), "{what}");
        let map = |place: &cache::Place| {
            std::fs::read_to_string(place.current().unwrap().0.join("commits.map")).unwrap()
        };
        assert_eq!(map(&extended), map(&cold), "{what}");
        if !about.extended {
            cold_ones.push((*what).to_owned());
        }
    }
    cold_ones
}

#[test]
fn what_is_extended_is_what_is_built_at_once() {
    for format in ["sha1", "sha256"] {
        let desk = Desk::new(format);
        history(&desk);
        let main = "refs/heads/main";
        let on = |branch: &str, from: &str, message: &str, files: &str| {
            commit(99, branch, message, &format!("from {from}\n{files}"))
        };
        let masked = desk.value("r.git", "main~3");
        let kept = desk.value("r.git", "main~7");
        let pushes = [
            ("nothing", String::new()),
            (
                "a clean file",
                on(
                    main,
                    "refs/heads/main^0",
                    "More\n",
                    &file("100644", "n", "n\n"),
                ),
            ),
            (
                "another secret and an old one elsewhere",
                on(
                    main,
                    "refs/heads/main^0",
                    "Secrets\n",
                    &(file("100644", "conf/app.env", &format!("T={}\n", secret(8)))
                        + &file("100644", "again", &format!("A=1\nT={}\nB=2\n", secret(1)))),
                ),
            ),
            (
                "nothing but a message",
                on(main, "refs/heads/main^0", "Empty\n", ""),
            ),
            (
                "mentions of old commits",
                on(
                    "refs/heads/side",
                    "refs/heads/side^0",
                    &format!("Of {masked} and {} and {kept}\n", &masked[..8]),
                    &file("100644", "s", "2\n"),
                ),
            ),
            (
                "a tag of an old commit",
                tag("late", &masked, &format!("of {}\n", secret(9))),
            ),
            (
                "a branch of an old commit",
                format!("reset refs/heads/old\nfrom {masked}\n\n"),
            ),
            (
                "a file under a rule for its path",
                on(
                    main,
                    "refs/heads/main^0",
                    "Path\n",
                    &file("100644", "d/.npmrc", "x\n"),
                ),
            ),
            (
                "a merge",
                commit(
                    98,
                    main,
                    "Merge\n",
                    "from refs/heads/main^0\nmerge refs/heads/side^0\n",
                ),
            ),
            (
                "a rewind",
                format!("reset refs/heads/side\nfrom {kept}\n\n"),
            ),
            (
                "and on",
                on(
                    "refs/heads/side",
                    &kept,
                    "On\n",
                    &file("100644", "s", "3\n"),
                ),
            ),
            (
                "a loss",
                format!("reset refs/heads/main\nfrom {masked}\n\n"),
            ),
        ];
        let cold = follows(&desk, &pushes);
        // What the first rewind takes away is merged; what the second takes away is lost.
        assert_eq!(cold, ["nothing", "a loss"]);
    }
}

#[test]
fn what_the_repository_keeps_back_is_kept_back() {
    let desk = Desk::new("sha1");
    history(&desk);
    for value in ["refs/heads/side", "refs/tags/", "!refs/tags/v0"] {
        desk.git(&["config", "--add", "transfer.hideRefs", value], b"");
    }
    desk.git(&["config", "uploadPack.hideRefs", "refs/heads/alias"], b"");
    desk.git(&["update-ref", "refs/heads/side2", "refs/heads/side"], b"");
    desk.build("r.git", "shown.git");
    let shown = desk.at("shown.git", &["for-each-ref", "--format=%(refname)"], b"");
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(
        shown,
        ["refs/heads/main", "refs/heads/side2", "refs/tags/v0"]
    );
}

/// Whether a path condition holds may hang on the folder: files that were not meant where they
/// were are, once their folder is moved.
#[test]
fn files_are_followed_into_folders_that_conditions_name() {
    let desk = Desk::new("sha1");
    let main = "refs/heads/main";
    let next = |number: u32, rest: &str| {
        let from = "from refs/heads/main^0\n".to_owned();
        commit(number, main, "Next\n", &(from + rest))
    };
    let home = "[wifi-security]\nkey-mgmt=wpa-psk\npsk=Tr0ub4dor-and-3-horses\n";
    let moved = |to: &str| format!("M 040000 {} {to}\n", desk.value("r.git", "main:plain"));
    desk.import(&commit(
        1,
        main,
        "Root\n",
        &file("100644", "plain/home", home),
    ));
    let whole = moved("etc/system-connections");
    let parts = file("100644", "x/system-connections/home", home);
    let pushes = [
        ("root", String::new()),
        ("a folder", next(2, &whole)),
        ("a file", next(3, &parts)),
        ("beside", next(4, &file("100644", "y/z", "z\n"))),
    ];
    let cold = follows(&desk, &pushes);
    assert_eq!(cold, ["root", "a folder"]);
    desk.build("r.git", "one.git");
    let at = |path: &str| desk.at("one.git", &["cat-file", "-p", path], b"");
    assert!(at("main:plain/home").contains("Tr0ub4dor"));
    for path in [
        "main:etc/system-connections/home",
        "main:x/system-connections/home",
    ] {
        assert!(!at(path).contains("Tr0ub4dor"), "{path}");
    }
}

/// What stands for a large file is not kept: it is read again where its folder changes.
#[test]
fn a_large_file_with_a_secret_is_followed() {
    let desk = Desk::new("sha1");
    let main = "refs/heads/main";
    let large = format!("{}{}\n", "x\n".repeat(9 << 20), secret(7));
    let more = |number: u32| {
        let from = "from refs/heads/main^0\n";
        let added = file("100644", &format!("d/{number}"), "x\n");
        commit(number, main, "More\n", &(from.to_owned() + &added))
    };
    let pushes = [
        (
            "root",
            commit(1, main, "Root\n", &file("100644", "d/a", "a\n")),
        ),
        (
            "large",
            commit(
                2,
                main,
                "Large\n",
                &("from refs/heads/main^0\n".to_owned() + &file("100644", "l", &large)),
            ),
        ),
        ("beside", more(3)),
    ];
    assert_eq!(follows(&desk, &pushes), ["root"]);
}

/// A commit that is mentioned before it exists is masked in the old message, too.
#[test]
fn a_mention_of_what_comes_later_is_masked_all_the_same() {
    let desk = Desk::new("sha1");
    let told = format!("{}\n", secret(1));
    let late = commit(1, "refs/heads/late", "Late\n", &file("100644", "f", &told));
    desk.import(&late);
    let name = desk.value("r.git", "late");
    desk.git(&["update-ref", "-d", "refs/heads/late"], b"");
    let first = commit(
        2,
        "refs/heads/main",
        &format!("Before {}\n", &name[..10]),
        &file("100644", "a", "a\n"),
    );
    let second = commit(3, "refs/heads/main", "More\n", "from refs/heads/main^0\n");
    follows(
        &desk,
        &[("before", first), ("more", second), ("late", late)],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn generated_histories_are_extended_as_they_are_built(steps in prop::collection::vec(any::<Step>().prop_map(|(a, b, c, d, e)| (a, b, c, d, e % 5)), 2..10)) {
        let desk = Desk::new("sha1");
        let pushes: Vec<(&str, String)> = (1..=steps.len()).step_by(2).map(|many| ("steps", generated(&steps[..many]).0)).collect();
        follows(&desk, &pushes);
    }
}

/// Whoever drops a view waits for who builds it, and the other way round: nobody finds half of
/// one, or a lock that is none.
#[test]
fn builds_and_drops_take_turns() {
    let desk = Desk::new("sha1");
    history(&desk);
    let ruleset = Ruleset::builtin().unwrap();
    let key = FingerprintKey::new([1; 32]);
    let original = Repository::open(&desk.path("r.git")).unwrap();
    let place = cache::Place::new(&desk.path("cache"), &original, &ruleset, &key);
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let (place, original, ruleset, key) = (&place, &original, &ruleset, &key);
            scope.spawn(move || {
                for _ in 0..3 {
                    if turn % 2 == 0 {
                        place.refresh(original, ruleset, key).unwrap();
                    } else {
                        place.drop_view().unwrap();
                    }
                    if let Some(open) = place.open() {
                        assert!(cache::Place::is_fresh(&open.about, original).unwrap());
                    }
                }
            });
        }
    });
    place.refresh(&original, &ruleset, &key).unwrap();
    held(&place);
}

/// What somebody reads stays, however often it is replaced.
#[test]
fn a_generation_that_is_read_stays() {
    let desk = Desk::new("sha1");
    history(&desk);
    let ruleset = Ruleset::builtin().unwrap();
    let key = FingerprintKey::new([1; 32]);
    let original = Repository::open(&desk.path("r.git")).unwrap();
    let place = cache::Place::new(&desk.path("cache"), &original, &ruleset, &key);
    place.build(&original, &ruleset, &key).unwrap();
    let first = place.open().unwrap();
    for _ in 0..2 {
        place.build(&original, &ruleset, &key).unwrap();
    }
    let directory = first.directory.clone();
    assert!(cache::shadow(&directory).join("HEAD").exists());
    assert_eq!(place.current().unwrap().1.generation, 3);
    // A program that was started meanwhile reads on, whatever becomes of who started it.
    first.lend().unwrap();
    let mut reads = std::process::Command::new("cat");
    let mut reads = reads.stdin(std::process::Stdio::piped()).spawn().unwrap();
    drop(first);
    place.build(&original, &ruleset, &key).unwrap();
    assert!(cache::shadow(&directory).join("HEAD").exists());
    drop(reads.stdin.take());
    reads.wait().unwrap();
    place.build(&original, &ruleset, &key).unwrap();
    assert!(!directory.exists());
}
