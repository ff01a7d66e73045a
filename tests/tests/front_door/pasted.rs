//! Placeholders of a masked view that are pasted into an original.

use refwarden_testkit::{Repository, Via};

use crate::shared::stack;

/// Put together here, so that no file of this project has the form of a placeholder.
fn placeholder(digits: &str) -> String {
    ["REFWARDEN", "MASKED", "github-pat", digits].join("-")
}

#[test]
fn a_pasted_placeholder_is_refused_once() {
    let repository = Repository::guarded(stack(), "pasted");
    let work = repository.work();
    let (old, new) = (
        placeholder("0123456789abcdef"),
        placeholder("fedcba9876543210"),
    );
    let push = |text: &str| {
        work.commit(&[(b"conf/app.env", text.as_bytes())], "Paste");
        work.push(Via::Http, &["HEAD:refs/heads/topic"])
    };
    // What only speaks of the form is none.
    push("# REFWARDEN-MASKED-<rule>-<digits>, REFWARDEN-MASKED-x-0123\n").passes();
    let refused = push(&format!("A=1\nT={old}\n"));
    refused.fails(&["RW303", "conf/app.env:2", "a placeholder of a masked view"]);
    work.git(&["reset", "-q", "--hard", "HEAD~1"]);
    // An administrator lets it in; from then on it is no news, and another one is.
    repository.git(&[
        "config",
        "--add",
        "refwarden.property",
        "placeholders=allowed",
    ]);
    push(&format!("A=1\nT={old}\n")).passes();
    repository.git(&["config", "--unset-all", "refwarden.property"]);
    push(&format!("A=2\nT={old}\nB=1\n")).passes();
    push(&format!("A=2\nT={old}\nB={new}\n")).fails(&["RW303", "conf/app.env:3"]);
    work.git(&["reset", "-q", "--hard", "HEAD~1"]);
    // The same one at another path is new there.
    work.commit(&[(b"README", format!("{old}\n").as_bytes())], "Copy");
    work.push(Via::Http, &["HEAD:refs/heads/topic"])
        .fails(&["RW303", "README:1"]);
    work.git(&["reset", "-q", "--hard", "HEAD~1"]);
    // A merge takes it from its second parent.
    let topic = work.git(&["rev-parse", "HEAD"]);
    work.git(&["checkout", "-q", "--detach", "HEAD~3"]);
    work.commit(&[(b"other", b"o\n")], "Other");
    work.git(&["merge", "-q", "--no-edit", &topic]);
    work.push(Via::Http, &["HEAD:refs/heads/merged"]).passes();
}
