//! Archives in which a secret stands: as they were at their path, replaced, or gone.

use refwarden_view::unmask::Problem;

use super::archives::{gzip, tar, xz, zip, zstd};
use super::desk::{Clone, Desk, secret};

const MAIN: &[&str] = &["HEAD:refs/heads/main"];

fn put(clone: &Clone, path: &str, bytes: &[u8]) {
    std::fs::write(clone.path.join(path), bytes).unwrap();
}

fn text(seed: u64) -> Vec<u8> {
    format!("a=1\nt={}\n", secret(seed)).into_bytes()
}

const MASKED: [&str; 5] = ["a.zip", "b.tar", "c.gz", "d.xz", "e.zst"];

/// An original with a secret in archives of each format, and its view.
fn desk(format: &'static str) -> Desk {
    let desk = Desk::empty(format);
    let author = desk.clone_of("original.git", "author", &[]);
    author.git(&["checkout", "-q", "-b", "main"]);
    author.write("README", "clean\n");
    put(&author, "a.zip", &zip(&[("x/a.env", &text(1))]));
    put(&author, "b.tar", &tar(&[("a.gz", &gzip(&text(1)))]));
    put(&author, "c.gz", &gzip(&text(2)));
    put(&author, "d.xz", &xz(&text(3)));
    put(&author, "e.zst", &zstd(&text(4)));
    put(&author, "clean.zip", &zip(&[("a", b"clean")]));
    author.commit("Add archives");
    author.git(&["push", "-q", "origin", "main"]);
    desk.build("shadow.git");
    desk
}

fn act(change: impl Fn(&Clone)) -> impl Fn(&Clone) {
    move |clone| {
        change(clone);
        clone.commit("Change");
    }
}

#[test]
fn the_view_holds_no_archive_with_a_secret() {
    for format in ["sha1", "sha256"] {
        let desk = desk(format);
        let masked = desk.masked(&[]);
        for path in MASKED {
            let text = masked.read(path);
            let name = text.strip_prefix("REFWARDEN-MASKED-").unwrap();
            assert!(name.starts_with("container-"), "{path}: {text}");
            assert_eq!(text.lines().count(), 1);
        }
        let clean = std::fs::read(masked.path.join("clean.zip")).unwrap();
        assert_eq!(clean, zip(&[("a", b"clean")]));
        // What a view shows of a view is that view.
        let first = masked.git(&["rev-parse", "origin/main"]);
        desk.build("shadow.git");
        assert_eq!(desk.masked(&[]).git(&["rev-parse", "origin/main"]), first);
        desk.tells_nothing();
    }
}

#[test]
fn archives_stay_are_replaced_and_go() {
    for format in ["sha1", "sha256"] {
        let desk = desk(format);
        desk.accepts(act(|clone| clone.write("README", "more\n")), MAIN);
        let clean = gzip(b"clean now\n");
        desk.accepts(act(|clone| put(clone, "c.gz", &clean)), MAIN);
        desk.accepts(
            |clone| {
                clone.git(&["rm", "-q", "d.xz"]);
                clone.commit("Remove");
                clone.git(&["revert", "--no-edit", "HEAD"]);
                clone.git(&["update-index", "--chmod=+x", "e.zst"]);
                clone.git(&["commit", "-q", "-m", "Mode"]);
            },
            MAIN,
        );
        // As an earlier commit had it at this path.
        desk.accepts(
            |clone| {
                clone.git(&["checkout", "-q", "HEAD~4", "--", "c.gz"]);
                clone.commit("As it was");
            },
            MAIN,
        );
        desk.accepts(
            |clone| {
                clone.git(&["rm", "-q", "a.zip", "b.tar"]);
                clone.commit("Remove");
            },
            MAIN,
        );
    }
}

#[test]
fn placeholders_of_archives_stay_where_they_are() {
    let desk = desk("sha1");
    let refused = |change: &dyn Fn(&Clone), problem| desk.refuses(act(change), MAIN, problem);
    let copy = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |clone: &Clone| {
            std::fs::copy(clone.path.join(&from), clone.path.join(&to)).unwrap();
        }
    };
    refused(&copy("a.zip", "public.txt"), Problem::Changed);
    refused(&copy("a.zip", "b.tar"), Problem::Changed);
    let moved = |clone: &Clone| {
        clone.git(&["mv", "a.zip", "z.zip"]);
    };
    refused(&moved, Problem::Changed);
    for change in [
        |text: &str| text.to_owned() + text,
        |text: &str| format!("x{text}"),
        |text: &str| text.trim_end().to_owned(),
    ] {
        for path in ["a.zip", "c.gz", "e.zst"] {
            let changed = |clone: &Clone| clone.edit(path, change);
            let masked = desk.masked(&[]);
            changed(&masked);
            masked.commit("Change");
            let sent = desk.send(&masked, MAIN);
            let refusal = desk.translate(&sent).err().unwrap();
            assert!(
                matches!(refusal.problem, Problem::Changed | Problem::RoundTrip),
                "{path}: {refusal}"
            );
        }
    }
}

#[test]
fn a_new_archive_with_a_secret_is_refused() {
    let desk = desk("sha1");
    for seed in [1, 9] {
        for bytes in [
            zip(&[("a", &text(seed))]),
            gzip(&tar(&[("a", &text(seed))])),
            (0..9).fold(b"clean".to_vec(), |inner, _| gzip(&inner)),
        ] {
            for path in ["new.bin", "c.gz"] {
                let refusal =
                    desk.refuses(act(|clone| put(clone, path, &bytes)), MAIN, Problem::Secret);
                assert_eq!(refusal.path.unwrap(), path.as_bytes());
            }
        }
    }
    let clean = zip(&[("a", b"clean")]);
    desk.accepts(act(|clone| put(clone, "new.zip", &clean)), MAIN);
}
