//! A repository that agents read through a masked view, and what they are sent of it while a fault
//! lasts: over HTTP and over SSH reads go on for whom the service knew a moment ago, and bring no secret.

use std::path::Path;

use refwarden_testkit::{Git, Outcome, Repository, Sshd, Stack, Via, planted, with_token};

/// The repository. Nobody pushes to it through Refwarden, so its view stands before a fault begins.
const NAME: &str = "masked-reads";

/// What gives agents the view. Where any reader has one, nobody goes on reading a repository itself
/// while the service is away (decision 0031).
pub const POLICY: &str = "
[[view]]
id = \"masked-reads\"
repositories = [\"masked-reads\"]
actors = [\"kind:agent\"]
see = \"masked\"
";

/// What stands where a secret stood.
const PLACEHOLDER: &str = "REFWARDEN-MASKED-";

/// What there is to be read.
pub struct Masked {
    secret: String,
    sshd: Sshd,
}

/// How a masked reader comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the proxy.
    Http,
    /// Through `refwarden-shell`.
    Ssh,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http, Self::Ssh];
}

impl Masked {
    /// Makes the repository, with a secret in a commit and another in what was removed again.
    pub fn plant(stack: &Stack) -> Self {
        let secret = planted::plant("ghp_{base62:30}{crc32}", 7700);
        let repository = Repository::unguarded(stack, NAME, "sha1");
        let work = repository.work();
        let text = format!("user = a\ntoken = {secret}\nend\n");
        work.commit(&[(b"conf/app", text.as_bytes())], "With");
        let more = format!("again = {secret}\n");
        work.commit(&[(b"conf/more", more.as_bytes())], "More");
        work.git(&["rm", "-q", "conf/more"]);
        work.commit(&[], "Less");
        let push = ["push", "-q", "origin", "HEAD:refs/heads/main"];
        work.git.run(work.path(), &push).passes();
        repository.install().passes();
        Self {
            secret,
            sshd: Sshd::with_shell(&stack.started().repositories, &[]),
        }
    }

    /// Clones, and says what is wrong with what was received.
    pub fn read(&self, stack: &Stack, token: &str, way: Way) -> (Outcome, Option<String>) {
        let (via, url) = match way {
            Way::Http => (Via::Http, Repository::named(stack, NAME).http_url()),
            Way::Ssh => (Via::Ssh(&self.sshd), self.sshd.named_url(NAME)),
        };
        let git = with_token(stack.git(), token, via);
        let into = tempfile::tempdir().unwrap();
        let read = git.run(into.path(), &["clone", "-q", "--bare", &url, "."]);
        // Of a clone that failed git leaves nothing.
        let problem = read.ok().then(|| self.problem(&git, into.path())).flatten();
        (read, problem)
    }

    fn problem(&self, git: &Git, clone: &Path) -> Option<String> {
        let batch = ["cat-file", "--batch", "--batch-all-objects"];
        let all = git.run(clone, &batch);
        if !all.ok() {
            return Some(format!("a masked clone cannot be read: {}", all.said()));
        }
        let received = String::from_utf8_lossy(&all.stdout);
        let forms = planted::forms(&self.secret);
        if forms.iter().any(|form| received.contains(form.as_str())) {
            return Some("a masked reader was sent a secret".to_owned());
        }
        let is_masked = received.contains(PLACEHOLDER);
        (!is_masked).then(|| "a masked clone has no placeholder".to_owned())
    }
}
