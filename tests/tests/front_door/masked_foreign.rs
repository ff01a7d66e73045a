//! Clients that are not this git: what dulwich, libgit2, isomorphic-git, gitoxide and other versions of git
//! get of a masked view, and what becomes of what they push.

use std::path::Path;

use refwarden_testkit::{Foreign, Repository, Via, with_token};

use crate::masked::{Clone, masked_stack, planted, push};
use crate::shared::secret;

/// What a directory was made to by somebody else than git, looked at with git.
fn seen(repository: &Repository<'_>) -> Clone {
    let directory = tempfile::tempdir().unwrap();
    let git = repository.stack.git().clone();
    Clone { directory, git }
}

#[test]
fn foreign_clients_get_what_git_gets_and_push_what_git_pushes() {
    let stack = masked_stack();
    for (at, client) in Foreign::PUSHING.into_iter().enumerate() {
        let seed = 9500 + 10 * at as u64;
        let name = format!("foreign-{at}");
        let repository = planted(stack, &name, "sha1", seed);
        let secrets = [secret(seed), secret(seed + 1), secret(seed + 2)];
        let agent = stack.token("ada");
        let git = Clone::new(&repository, &agent, &[]);
        let clone = seen(&repository);
        let there = clone.path().to_str().unwrap();
        let run = |arguments: &[&str]| {
            let outcome = client.run(&stack.token("ada"), arguments);
            assert!(outcome.ok(), "{client:?}: {outcome}");
        };
        run(&["clone", &repository.http_url(), there]);
        for name in ["HEAD", "refs/remotes/origin/side", "refs/tags/v1"] {
            let both = [&clone, &git].map(|it| it.git(&["rev-parse", name]));
            assert_eq!(both[0], both[1], "{client:?} {name}");
        }
        assert_eq!(clone.read("conf/app"), git.read("conf/app"), "{client:?}");
        assert!(clone.read("conf/app").contains("REFWARDEN-MASKED-"));

        run(&["commit", there, "conf/app", "more = 1", "Beside"]);
        run(&["push", there, "refs/heads/topic"]);
        let original = repository.git(&["show", "refs/heads/topic:conf/app"]);
        let told = format!("user = a\ntoken = {}\nend\nmore = 1", secret(seed));
        assert_eq!(original.text(), told, "{client:?}");
        let mine = clone.git(&["rev-parse", "HEAD"]);
        git.git(&["fetch", "-q"]);
        assert_eq!(git.git(&["rev-parse", "origin/topic"]), mine, "{client:?}");

        let work = repository.work();
        let more = format!("{}\n", secret(seed + 2));
        work.commit(&[(b"more", more.as_bytes())], "More");
        push(&work, &["HEAD:refs/heads/theirs"]);
        run(&["fetch", there]);
        let theirs = clone.git(&["show", "refs/remotes/origin/theirs:more"]);
        assert!(
            theirs.starts_with("REFWARDEN-MASKED-"),
            "{client:?}: {theirs}"
        );

        // A secret of one's own is refused through them as through git.
        let line = format!("token = {}", secret(seed + 3));
        run(&["commit", there, "conf/app", &line, "New"]);
        let refused = client.run(&stack.token("ada"), &["push", there, "refs/heads/topic"]);
        // Not every one of them ends with an error then.
        let said = refused.everything();
        assert!(said.contains("RW301"), "{client:?}: {refused}");
        let before = repository.value("refs/heads/topic~1");
        assert_eq!(before, repository.value("refs/heads/main"), "{client:?}");
        clone.tells_nothing(&repository, &secrets);
    }
}

#[test]
fn gitoxide_gets_what_git_gets() {
    let stack = masked_stack();
    let repository = planted(stack, "gitoxide", "sha1", 9535);
    let secrets = [secret(9535), secret(9536), secret(9537)];
    let git = Clone::new(&repository, &stack.token("ada"), &[]);
    let clone = seen(&repository);
    let there = clone.path().to_str().unwrap();
    let run = |arguments: &[&str]| Foreign::Gitoxide.run(&stack.token("ada"), arguments);
    let url = repository.http_url();
    run(&["clone", &url, there]).passes();
    for name in ["HEAD", "refs/remotes/origin/side", "refs/tags/v1"] {
        let both = [&clone, &git].map(|it| it.git(&["rev-parse", name]));
        assert_eq!(both[0], both[1], "{name}");
    }
    assert_eq!(clone.read("conf/app"), git.read("conf/app"));
    assert!(clone.read("conf/app").contains("REFWARDEN-MASKED-"));
    clone.git(&["fsck", "--strict"]);

    let work = repository.work();
    let more = format!("{}\n", secret(9537));
    work.commit(&[(b"more", more.as_bytes())], "More");
    push(&work, &["HEAD:refs/heads/theirs"]);
    run(&["fetch", there]).passes();
    let theirs = clone.git(&["show", "refs/remotes/origin/theirs:more"]);
    assert!(theirs.starts_with("REFWARDEN-MASKED-"), "{theirs}");
    clone.tells_nothing(&repository, &secrets);

    let shallow = seen(&repository);
    let there = shallow.path().to_str().unwrap();
    run(&["clone", &url, there, "1"]).passes();
    assert_eq!(shallow.git(&["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(shallow.read("conf/app"), git.read("conf/app"));
    shallow.tells_nothing(&repository, &secrets);

    let refused = Foreign::Gitoxide.run("nobody", &["clone", &url, &format!("{there}/x")]);
    assert!(!refused.ok(), "a token that is none: {refused}");
}

/// Every git of this machine. Where there is but one, that one.
fn gits() -> Vec<String> {
    let places = ["/usr/bin/git", "/usr/local/bin/git"];
    let there = places.into_iter().filter(|it| Path::new(it).is_file());
    there.map(str::to_owned).collect()
}

#[test]
fn every_git_of_this_machine_gets_the_same() {
    let stack = masked_stack();
    let repository = planted(stack, "gits", "sha1", 9540);
    let head = Clone::new(&repository, &stack.token("ada"), &[]).git(&["rev-parse", "HEAD"]);
    for (at, program) in gits().iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let run = |place: &Path, arguments: &[&str]| {
            let git = with_token(stack.git(), &stack.token("ada"), Via::Http);
            let mut command = std::process::Command::new(program);
            command.current_dir(place).env_clear();
            git.environment(&mut command);
            command.args(arguments);
            refwarden_testkit::run(command, b"").passes().text()
        };
        let url = repository.http_url();
        for version in ["0", "1", "2"] {
            let protocol = format!("protocol.version={version}");
            let config = ["-c", &*protocol];
            let clone = |name: &str, options: &[&str]| {
                let into = directory.path().join(format!("{name}-{version}"));
                let place = into.to_str().unwrap().to_owned();
                let all = [&config[..], &["clone", "-q"], options, &[&url, &place]].concat();
                run(directory.path(), &all);
                run(&into, &["config", "protocol.version", version]);
                into
            };
            let whole = clone("whole", &[]);
            assert_eq!(run(&whole, &["rev-parse", "HEAD"]), head, "{program}");
            run(&whole, &["fsck", "--strict"]);
            let shallow = clone("shallow", &["--depth=1"]);
            assert_eq!(run(&shallow, &["rev-list", "--count", "HEAD"]), "1");
            run(&shallow, &["fetch", "-q", "--unshallow"]);
            assert_eq!(run(&shallow, &["rev-list", "--count", "HEAD"]), "5");
            let single = clone("single", &["--single-branch", "-b", "side", "--no-tags"]);
            assert_eq!(run(&single, &["branch", "-r"]).trim(), "origin/side");
            assert_eq!(run(&single, &["tag"]), "");
            // What a filter leaves out comes when it is needed.
            let partial = clone("partial", &["--filter=blob:none", "--no-checkout"]);
            run(&partial, &["checkout", "-q", "main"]);
            let text = std::fs::read_to_string(partial.join("conf/app")).unwrap();
            assert!(text.contains("REFWARDEN-MASKED-"), "{program}: {text}");
            let listed = run(&whole, &["ls-remote", "origin"]);
            assert!(listed.contains("refs/tags/v1^{}"), "{program}: {listed}");
        }
        // A partial and a shallow clone push as a whole one does.
        for name in ["partial-2", "shallow-0"] {
            let clone = directory.path().join(name);
            let text = std::fs::read_to_string(clone.join("conf/app")).unwrap();
            std::fs::write(clone.join("conf/app"), format!("# {name}\n{text}")).unwrap();
            run(&clone, &["commit", "-q", "-a", "-m", "Beside"]);
            let target = format!("refs/heads/{name}-{at}");
            run(&clone, &["push", "-q", "origin", &format!("HEAD:{target}")]);
            let original = repository.git(&["show", &format!("{target}:conf/app")]);
            let told = format!("# {name}\nuser = a\ntoken = {}\nend", secret(9540));
            assert_eq!(original.text(), told, "{program}");
        }
    }
}

#[test]
fn submodules_are_followed_into_their_own_views() {
    let stack = masked_stack();
    let part = planted(stack, "sub-part", "sha1", 9550);
    let clean = part.value("refs/heads/main~3").unwrap();
    let repository = Repository::unguarded(stack, "sub-whole", "sha1");
    let work = repository.work();
    let url = part.http_url();
    let modules = format!("[submodule \"part\"]\n\tpath = part\n\turl = {url}\n");
    let told = format!("{}\n", secret(9551));
    std::fs::write(work.path().join(".gitmodules"), modules).unwrap();
    std::fs::write(work.path().join("own"), told).unwrap();
    work.git(&["add", "-A"]);
    let link = format!("160000,{clean},part");
    work.git(&["update-index", "--add", "--cacheinfo", &link]);
    work.git(&["commit", "-q", "-m", "With a part"]);
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    let clone = Clone::new(&repository, &stack.token("ada"), &["--recurse-submodules"]);
    assert!(clone.read("own").starts_with("REFWARDEN-MASKED-"));
    let inside = clone.path().join("part");
    assert_eq!(clone.git.text(&inside, &["rev-parse", "HEAD"]), clean);
    assert!(inside.join("src/main").exists());
}
