//! The suite as a whole. Tests run in the order of their names, so that this comes last; what is still
//! running then is waited for.

use std::time::Duration;

use refwarden_testkit::{Repository, Via, is_pushing, planted, running, within};

use crate::shared::{dump, secret, stack};

/// What programs print, pushes are answered, and pages and the API show is looked at when it comes, by
/// `refwarden_testkit`; logs and records are here.
#[test]
fn no_log_and_no_record_holds_a_secret_that_any_test_planted() {
    let repository = Repository::guarded(stack(), "whole");
    let work = repository.work();
    let secret = secret(990);
    work.commit(&[(b"a", format!("{secret}\n").as_bytes())], "Add");
    work.push(Via::Http, &["HEAD:refs/heads/topic"])
        .fails(&["RW301"]);
    drop(work);
    within("the other tests have ended", Duration::from_mins(5), || {
        !is_pushing()
    });
    let stacks = running();
    assert!(
        stacks.iter().any(|(it, _)| it == stack().directory()),
        "{stacks:?}"
    );
    for (directory, database) in stacks {
        // One that is being stopped meanwhile looks through its directory itself.
        if directory != stack().directory() && !directory.join("run/service.pid").exists() {
            continue;
        }
        planted::look_through(&directory);
        let dump = dump(&database);
        assert!(dump.contains("INSERT INTO public.events"), "{database}");
        planted::look("the database", dump.as_bytes());
    }
}

#[test]
#[should_panic(expected = "a log holds a planted secret: T=")]
fn the_look_for_secrets_finds_what_is_there() {
    let secret = secret(991);
    let forms = planted::forms(&secret);
    let log = format!("{}\nT={}\n", "x".repeat(100_000), forms[2]);
    planted::look("a log", log.as_bytes());
}
