//! Another's identity provider: sign-in on the pages, programs, people at a terminal, and keys
//! that change.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use refwarden_testkit::{Browser, OpenId, Repository, Stack, Via, program};

use crate::shared::request_of;

/// A Refwarden whose people sign in at a provider of their own.
fn with_provider() -> (Stack, OpenId) {
    let mut stack = Stack::start();
    let callback = format!("{}/sign-in/callback", stack.started().service_url);
    let provider = OpenId::start(&callback, "refwarden");
    let file = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    let url = toml::Value::from(provider.url.as_str());
    let issuer = toml::toml! {
        kind = "human"
        algorithms = ["RS256"]
        exchange_audiences = ["helper"]
    };
    let issuers = config["issuer"].as_array_mut().unwrap();
    issuers.push(toml::Value::Table(issuer));
    let last = issuers.last_mut().unwrap().as_table_mut().unwrap();
    last.insert("url".to_owned(), url.clone());
    let sign_in = config["sign_in"].as_table_mut().unwrap();
    sign_in.insert("issuer".to_owned(), url.clone());
    sign_in.insert("client_id".to_owned(), "pages".into());
    sign_in.remove("client_secret_file");
    let tokens = config["tokens"].as_table_mut().unwrap();
    tokens.insert("device_issuer".to_owned(), url);
    tokens.insert("device_client_id".to_owned(), "helper".into());
    std::fs::write(&file, config.to_string()).unwrap();
    stack.restart();
    (stack, provider)
}

#[test]
fn people_of_another_provider_sign_in_and_approve() {
    let (stack, provider) = with_provider();
    let repository = Repository::guarded(&stack, "elsewhere");
    let work = repository.work();
    let new = work.commit(&[(b"a", b"a\n")], "A");
    let push = ["HEAD:refs/heads/main"];
    let refused = work.push(Via::Local, &push).fails(&["RW201"]);
    let request = format!("{}/r/{}", stack.started().service_url, request_of(&refused));

    // Ada acts through the agent: the same address at another provider is the same person.
    for (name, status) in [("ada", 403), ("grace", 200)] {
        let mut browser = Browser::new();
        let page = browser.open(&format!("{}/sign-in", stack.started().service_url));
        let page = provider.sign_in(&mut browser, page, name);
        assert!(page.url.as_str().starts_with(&stack.started().service_url));
        assert_eq!(page.status, 200, "{}", page.body);
        let page = browser.open(&request);
        if status == 403 {
            assert!(!page.body.contains("value=\"approve\""), "{}", page.body);
            continue;
        }
        let page = browser.decide(&request, "approve", "Looked at it.");
        assert_eq!(page.status, status, "{name}: {}", page.body);
    }
    work.push(Via::Local, &push).passes();
    assert_eq!(repository.value("refs/heads/main"), Some(new));
}

#[test]
fn keys_change_while_tokens_are_in_flight() {
    let (stack, provider) = with_provider();
    let repository = Repository::guarded(&stack, "rotated");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let (before, other) = (provider.robot(), provider.robot());
    work.push_with(&before, Via::Http, &["HEAD:refs/heads/one"])
        .passes();
    provider.rotate();
    let after = provider.robot();
    // A key that is not known yet is fetched, at most once in ten seconds.
    let deadline = std::time::Duration::from_secs(30);
    refwarden_testkit::within("the new key is known", deadline, || {
        let git = refwarden_testkit::with_token(&work.git, &after, Via::Http);
        let read = git.run(work.path(), &["ls-remote", &repository.http_url()]);
        read.ok()
    });
    work.push_with(&after, Via::Http, &["HEAD:refs/heads/two"])
        .passes();
    work.push_with(&other, Via::Http, &["HEAD:refs/heads/three"])
        .passes();
    let events = stack.api("audrey").events(&repository.name);
    let released = events.iter().filter(|event| event.kind == "push.released");
    let actors: Vec<&str> = released.map(|event| event.actor.as_str()).collect();
    assert_eq!(actors, ["robot", "robot", "robot"]);
    // A program approves nothing, whatever groups it claims.
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    let robot = refwarden_testkit::Api::new(&stack.started().service_url, &provider.robot());
    let status = robot
        .get(&format!("/requests/{}", request_of(&refused)))
        .status();
    assert_eq!(status.as_u16(), 404);
}

#[test]
fn a_clean_client_with_the_helper_clones_and_pushes() {
    let (stack, provider) = with_provider();
    let repository = Repository::guarded(&stack, "helped");
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let helper = program("git-credential-refwarden").display().to_string();
    let key = format!("credential.{}.helper", stack.started().proxy_url);
    let git = stack
        .git()
        .with("XDG_RUNTIME_DIR", &runtime.display().to_string())
        .with("GIT_CONFIG_COUNT", "1")
        .with("GIT_CONFIG_KEY_0", &key)
        .with("GIT_CONFIG_VALUE_0", &helper);

    // The first time, somebody signs in with a browser.
    let mut clone = git
        .command(directory.path())
        .args(["clone", "-q", &repository.http_url(), "work"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(clone.stderr.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "no link was shown");
        if let Some((_, link)) = line.split_once("(or open ") {
            break link.trim().trim_end_matches(')').to_owned();
        }
    };
    let mut browser = Browser::new();
    let page = browser.open(&address);
    let page = provider.sign_in(&mut browser, page, "ada");
    assert!(
        page.body.contains("Sign-in Success"),
        "{} {}",
        page.url,
        page.body
    );
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(clone.wait().unwrap().success(), "{rest}");

    // From then on nobody is asked until the sign-in ends.
    let work = directory.path().join("work");
    std::fs::write(work.join("a"), "a\n").unwrap();
    git.run(&work, &["add", "a"]).passes();
    git.run(&work, &["commit", "-q", "-m", "A"]).passes();
    for name in ["one", "two"] {
        let target = format!("HEAD:refs/heads/{name}");
        let pushed = git.run(&work, &["push", "-q", "origin", &target]).passes();
        assert!(!pushed.said().contains("sign in"), "{pushed}");
    }
    let events = stack.api("audrey").events(&repository.name);
    let released = events.iter().find(|event| event.kind == "push.released");
    assert_eq!(released.unwrap().actor, "ada");
    // What is kept is the provider's short-lived token, for its user's eyes only.
    let kept: Vec<_> = std::fs::read_dir(&runtime).unwrap().collect();
    assert_eq!(kept.len(), 1);
    let path = kept[0].as_ref().unwrap().path();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);

    // Whoever is revoked gets nothing for it, and has to sign in again.
    let reason = ["--reason", "left"];
    let mut arguments = vec!["revoke", "--subject", "ada", "--issuer", &provider.url];
    arguments.extend(reason);
    stack.refwarden(&arguments).passes();
    git.run(&work, &["push", "-q", "origin", "HEAD:refs/heads/three"])
        .fails(&["the token was revoked"]);
    assert!(!path.exists());
    assert_eq!(repository.value("refs/heads/three"), None);
}
