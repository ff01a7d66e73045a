//! Build jobs push with their own provider's tokens, configured as docs/identity.md says: the
//! samples there are what these tests run with, but for the addresses.

use refwarden_testkit::{OpenId, Repository, Stack, Via};
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../../docs/identity.md");
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GITLAB: &str = "https://gitlab.example.org";

/// The samples below a heading of the document.
fn samples(heading: &str) -> Vec<&'static str> {
    let section = DOCUMENT.split("\n## ").find(|it| it.starts_with(heading));
    let blocks = section.unwrap().split("```toml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

struct Jobs {
    stack: Stack,
    github: OpenId,
    gitlab: OpenId,
}

/// A Refwarden with the document's issuers and rules, each issuer played by a provider here.
fn jobs() -> Jobs {
    let mut stack = Stack::start();
    let [github, gitlab] = [(); 2].map(|()| OpenId::start("http://127.0.0.1/none", "refwarden"));
    let samples = samples("Build jobs");
    let [issuers, rules] = samples.as_slice() else {
        panic!("the document has other samples: {samples:?}");
    };
    let here = |sample: &str| {
        let quoted = |url: &str| format!("\"{url}\"");
        assert!(sample.contains(&quoted(GITHUB)) && sample.contains(&quoted(GITLAB)));
        let sample = sample.replace(&quoted(GITHUB), &quoted(&github.url));
        sample.replace(&quoted(GITLAB), &quoted(&gitlab.url))
    };
    let file = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n{}", here(issuers))).unwrap();
    std::fs::write(stack.directory().join("policy.toml"), here(rules)).unwrap();
    stack.restart();
    Jobs {
        stack,
        github,
        gitlab,
    }
}

#[test]
fn a_job_pushes_what_its_claims_allow_and_no_more() {
    let jobs = jobs();
    let repository = Repository::guarded(&jobs.stack, "built");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let (github, gitlab) = (&jobs.github, &jobs.gitlab);
    let elsewhere = "evil-org/octo-repo/.github/workflows/release.yml@refs/heads/main";
    let fork = "octo-org/octo-repo/.github/workflows/release.yml@refs/pull/1/merge";
    let from_fork = "gitlab.example.org/evil/my-project//.gitlab-ci.yml@refs/heads/main";
    let cases: [(&OpenId, &str, Value); 12] = [
        (
            github,
            "github-job",
            json!({"repository": "evil-org/octo-repo"}),
        ),
        (
            github,
            "github-job",
            json!({"repository": "octo-org/octo-repo2"}),
        ),
        (github, "github-job", json!({"repository": null})),
        (github, "github-job", json!({"ref": "refs/heads/topic"})),
        (github, "github-job", json!({"ref": "refs/pull/1/merge"})),
        (
            github,
            "github-job",
            json!({"event_name": "pull_request_target"}),
        ),
        (github, "github-job", json!({"job_workflow_ref": elsewhere})),
        (github, "github-job", json!({"job_workflow_ref": fork})),
        (
            gitlab,
            "gitlab-job",
            json!({"project_path": "my-group/my-project/sub"}),
        ),
        (gitlab, "gitlab-job", json!({"ref_protected": "false"})),
        (gitlab, "gitlab-job", json!({"ref": "refs/heads/main"})),
        (
            gitlab,
            "gitlab-job",
            json!({"ci_config_ref_uri": from_fork}),
        ),
    ];
    for (provider, client, claims) in &cases {
        let token = provider.job(client, claims);
        let pushed = work.push_with(&token, Via::Local, &["HEAD:refs/tags/v1"]);
        let pushed = pushed.fails(&["RW203", "release-tags-from-"]);
        assert_eq!(repository.value("refs/tags/v1"), None, "{claims} {pushed}");
    }
    // One provider's claims in a token of the other are worth nothing.
    for (provider, client) in [(github, "gitlab-job"), (gitlab, "github-job")] {
        let token = provider.job(client, &json!({}));
        work.push_with(&token, Via::Local, &["HEAD:refs/tags/v1"])
            .fails(&["RW203"]);
    }
    for (provider, client, tag) in [(github, "github-job", "v1"), (gitlab, "gitlab-job", "v2")] {
        let job = || provider.job(client, &json!({}));
        for to in ["refs/heads/main", "refs/heads/new", "refs/tags/w1"] {
            let to = format!("HEAD:{to}");
            work.push_with(&job(), Via::Http, &[&to])
                .fails(&["RW203", "jobs-make-release-tags-only"]);
        }
        let to = format!("HEAD:refs/tags/{tag}");
        work.push_with(&job(), Via::Http, &[&to]).passes();
    }
    let events = jobs.stack.api("audrey").events(&repository.name);
    let released = events.iter().filter(|event| event.kind == "push.released");
    let actors: Vec<&str> = released.map(|event| event.actor.as_str()).collect();
    let subjects = [
        "repo:octo-org/octo-repo:ref:refs/heads/main",
        "project_path:my-group/my-project:ref_type:branch:ref:main",
    ];
    assert_eq!(actors, subjects);
}
