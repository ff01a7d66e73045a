//! Steps 2, 3, 4 and 6.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::Guarded;
use super::browser::Browser;
use super::person::{Person, authorized, git};
use super::setup::Stage;
use super::shell::{Ran, Shell, saw};
use crate::failure::{Context as _, Failure, Outcome};

/// The agent's push that waits for approval.
pub struct Pushed {
    /// The working copy.
    pub directory: PathBuf,
    /// The request's page.
    pub url: String,
    /// The commit that would enter the main branch.
    pub commit: String,
    old: String,
}

impl Pushed {
    fn person<'a>(&'a self, shell: &'a Shell) -> Person<'a> {
        Person {
            directory: &self.directory,
            shell,
        }
    }
}

/// Step 2: clone, commit, push: refused, with a link.
pub fn push(shell: &Shell, stage: &Stage, guarded: &Guarded) -> Outcome<Pushed> {
    let token = stage.token(shell, "10m")?;
    let directory = guarded.work.join("agent");
    let url = format!("{}/{}.git", stage.proxy_url, guarded.name);
    let typed = authorized(&["clone", &url, &shell.short(&directory)]);
    let into = directory.display().to_string();
    let clone = git(
        &guarded.work,
        Some(&token),
        &["clone", "--quiet", &url, &into],
    );
    let cloned = shell.run(&typed, clone)?;
    shell.check(cloned.ok, "the agent clones through the proxy")?;
    let old = tip(guarded)?;
    shell.typed(&format!("cd {}", shell.short(&directory)))?;
    let person = Person {
        directory: &directory,
        shell,
    };
    let commit = commit(&person, "greeting.txt", b"Hello from an agent.\n", "Greet")?;
    let main = format!("HEAD:{}", guarded.branch);
    let ran = person.git_with(&token, &["push", "origin", &main])?;
    shell.check(
        !ran.ok && ran.text.contains("RW201"),
        "refused: it needs approval (RW201)",
    )?;
    let url = link(&ran.text, &stage.service_url);
    shell.check(url.is_some(), "with a request and a link")?;
    shell.check(tip(guarded)? == old, "the branch has not moved")?;
    Ok(Pushed {
        url: url.unwrap_or_default(),
        directory: directory.clone(),
        commit,
        old,
    })
}

/// Step 3: the real pages, with cookies, CSRF token and digest.
pub fn approve(shell: &Shell, stage: &Stage, pushed: &Pushed) -> Outcome<()> {
    let mut browser = Browser::new()?;
    let user = &stage.approver.user;
    shell.typed(&format!(
        "(browser) {}/sign-in as {user}",
        stage.service_url
    ))?;
    let form = browser.open(&format!("{}/sign-in", stage.service_url))?;
    let name = ["username", "user", "name", "login"]
        .into_iter()
        .find(|name| super::page::Form::with_field(&form.html, name).is_some());
    let fields = [
        (name.unwrap_or("username"), user.as_str()),
        ("password", &stage.approver.password),
    ];
    let inbox = browser.submit(&form, "password", &fields)?;
    let own = inbox.url.as_str().starts_with(&stage.service_url);
    let signed_in = inbox.status == 200 && own && !inbox.url.path().starts_with("/idp");
    shell.check(
        signed_in,
        "signed in by OpenID Connect, with a session cookie",
    )?;
    shell.typed(&format!("(browser) {}", pushed.url))?;
    let page = browser.open(&pushed.url)?;
    let short = pushed.commit.get(..10).unwrap_or_default();
    shell.check(
        page.status == 200 && page.html.contains(short),
        "the page shows the commit that would move the branch",
    )?;
    shell.check(page.html.contains("Hello from an agent."), "and its diff")?;
    let filled = [("decision", "approve"), ("reason", "a friendly greeting")];
    shell.typed("(browser) Approve, with a reason")?;
    let done = browser.submit(&page, "digest", &filled)?;
    let approved = done.status == 200 && done.html.to_lowercase().contains("approved");
    shell.check(approved, "the request is approved")
}

/// Step 4, first half: the same push.
pub fn pass(shell: &Shell, stage: &Stage, guarded: &Guarded, pushed: &Pushed) -> Outcome<()> {
    let token = stage.token(shell, "10m")?;
    let main = format!("HEAD:{}", guarded.branch);
    let ran = pushed
        .person(shell)
        .git_with(&token, &["push", "origin", &main])?;
    shell.check(ran.ok, "the same git push passes")?;
    shell.check(
        tip(guarded)? == pushed.commit,
        "the branch has moved to the approved commit",
    )
}

/// Step 4, second half: a secret, a force push, a delete, bad tokens.
pub fn refusals(shell: &Shell, stage: &Stage, guarded: &Guarded, pushed: &Pushed) -> Outcome<()> {
    secret(shell, stage, guarded, pushed)?;
    let person = pushed.person(shell);
    let branch = &guarded.branch;
    let token = stage.token(shell, "10m")?;
    let force = format!("{}:refs/heads/{branch}", pushed.old);
    let ran = person.git_with(&token, &["push", "--force", "origin", &force])?;
    refused(
        shell,
        guarded,
        pushed,
        &ran,
        "RW203",
        "a force push is refused (RW203)",
    )?;
    let delete = format!(":refs/heads/{branch}");
    let ran = person.git_with(&token, &["push", "origin", &delete])?;
    refused(
        shell,
        guarded,
        pushed,
        &ran,
        "RW203",
        "a delete of the branch is refused (RW203)",
    )?;

    let topic = ["push", "origin", "HEAD:refs/heads/topic"];
    let expired = stage.token(shell, "1s")?;
    shell.typed("sleep 2")?;
    std::thread::sleep(Duration::from_millis(2100));
    let ran = person.git_with(&expired, &topic)?;
    refused(
        shell,
        guarded,
        pushed,
        &ran,
        "RW103",
        "an expired token is refused (RW103)",
    )?;
    let forged = forge(&token)?;
    shell.typed("TOKEN=…  # the same claims for another person, the signature left as it was")?;
    let ran = person.git_with(&forged, &topic)?;
    refused(
        shell,
        guarded,
        pushed,
        &ran,
        "RW102",
        "a forged token is refused (RW102)",
    )
}

fn secret(shell: &Shell, stage: &Stage, guarded: &Guarded, pushed: &Pushed) -> Outcome<()> {
    let person = pushed.person(shell);
    person.git(&["switch", "--quiet", "--create", "config"])?;
    // Made anew each time: no token stands in any source.
    let seed = chrono::Utc::now().timestamp_micros().unsigned_abs();
    let line = refwarden_scan::example::expand("github_token = ghp_{base62:30}{crc32}\n", seed);
    let planted = String::from_utf8_lossy(&line).into_owned();
    let planted = planted.trim_end().rsplit(' ').next().unwrap_or_default();
    let content = [b"[deploy]\n".as_slice(), &line].concat();
    commit(&person, "deploy.conf", &content, "Configure deployment")?;
    let token = stage.token(shell, "10m")?;
    let topic = ["push", "origin", "HEAD:refs/heads/config"];
    let ran = person.git_with(&token, &topic)?;
    refused(
        shell,
        guarded,
        pushed,
        &ran,
        "RW301",
        "a planted secret is refused (RW301)",
    )?;
    shell.check(
        ran.text.contains("deploy.conf:2"),
        "with file and line: deploy.conf:2",
    )?;
    let redacted = ran.text.contains("ghp_") && !ran.text.contains(planted);
    shell.check(redacted, "with a redacted preview, and not the secret")?;
    person
        .git(&["switch", "--quiet", &guarded.branch])
        .map(drop)
}

/// Step 6: everything is in the records.
pub fn audit(shell: &Shell, stage: &Stage, guarded: &Guarded) -> Outcome<()> {
    let dir = &stage.data_dir;
    let ran = shell.refwarden(&["audit", "--repository", &guarded.name, "--data-dir", dir])?;
    shell.check(ran.ok, "the records can be read")?;
    let args = [
        "audit",
        "--json",
        "--repository",
        &guarded.name,
        "--data-dir",
        dir,
    ];
    let listed = shell.quietly(&args)?;
    for (what, needed) in [
        ("the adoption", "repository.adopted"),
        ("the push that waited", "RW201"),
        ("the approval, by whom", &stage.approver.user),
        ("the push that passed", "ref.committed"),
        ("the planted secret", "RW301"),
        ("the force push and the delete", "RW203"),
        ("the expired token", "RW103"),
        ("the forged token", "RW102"),
    ] {
        shell.check(
            listed.stdout.contains(needed),
            &format!("{what} ({needed})"),
        )?;
    }
    Ok(())
}

fn refused(
    shell: &Shell,
    guarded: &Guarded,
    pushed: &Pushed,
    ran: &Ran,
    code: &str,
    what: &str,
) -> Outcome<()> {
    shell.check(!ran.ok && ran.text.contains(code), what)?;
    if tip(guarded)? == pushed.commit {
        return Ok(());
    }
    shell.check(false, "the branch has not moved")
}

fn commit(person: &Person<'_>, file: &str, content: &[u8], message: &str) -> Outcome<String> {
    let path = person.directory.join(file);
    std::fs::write(&path, content).context(|| format!("{} cannot be written", path.display()))?;
    let subject = format!("'{message}'");
    person.shell.typed(&format!(
        "edit {file}; git add {file}; git commit -m {subject}"
    ))?;
    for args in [&["add", file][..], &["commit", "--quiet", "-m", message]] {
        let ran = person.ask(args)?;
        if !ran.ok {
            saw(&ran.text)?;
            person.shell.check(false, "a commit is made")?;
        }
    }
    Ok(person
        .ask(&["rev-parse", "HEAD"])?
        .stdout
        .trim_end()
        .to_owned())
}

/// The value of the main branch on the server.
fn tip(guarded: &Guarded) -> Outcome<String> {
    let name = format!("refs/heads/{}", guarded.branch);
    let ran = super::shell::run(git(&guarded.live, None, &["rev-parse", "--verify", &name]))?;
    Ok(ran.stdout.trim_end().to_owned())
}

fn link(text: &str, service_url: &str) -> Option<String> {
    let start = format!("{service_url}/r/");
    let words = text.split(|c: char| c.is_whitespace() || c == '"');
    let mut links = words.filter(|word| word.starts_with(&start));
    links.next().map(str::to_owned)
}

/// Puts another person into the claims; the signature stays.
fn forge(token: &SecretString) -> Outcome<SecretString> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let broken = || Failure::new("the token is no JWT");
    let parts: Vec<&str> = token.expose_secret().split('.').collect();
    let [head, claims, signature] = parts.as_slice() else {
        return Err(broken());
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| broken())?;
    let claims = String::from_utf8(claims).map_err(|_| broken())?;
    let forged = URL_SAFE_NO_PAD.encode(claims.replace("\"ada\"", "\"eve\""));
    Ok(format!("{head}.{forged}.{signature}").into())
}
