//! Every way to ask a masked view for what it does not have, with a raw client: what exists in
//! the original and what exists nowhere are answered alike.

use refwarden_testkit::{Repository, Sshd, flush, line};

use crate::masked::{Clone, configured, masked_stack, planted, push};
use crate::shared::secret;

/// What came back, with the name that was asked for taken out.
pub type Answer = (u16, Vec<u8>);

/// Somebody who asks for what he should not have.
pub struct Reader<'a> {
    repository: &'a Repository<'a>,
    pub token: String,
    line: Line<'a>,
}

/// How he comes.
enum Line<'a> {
    Http(reqwest::blocking::Client),
    Ssh(&'a Sshd),
}

impl<'a> Reader<'a> {
    fn new(repository: &'a Repository<'a>) -> Self {
        let client = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(std::time::Duration::from_secs(30))
            .build()
            .unwrap();
        Self {
            repository,
            token: repository.stack.token("ada"),
            line: Line::Http(client),
        }
    }

    /// One who comes over SSH.
    pub fn over_ssh(repository: &'a Repository<'a>, sshd: &'a Sshd) -> Self {
        Self {
            repository,
            token: repository.stack.token("ada"),
            line: Line::Ssh(sshd),
        }
    }

    fn client(&self) -> &reqwest::blocking::Client {
        match &self.line {
            Line::Http(client) => client,
            Line::Ssh(_) => panic!("not over HTTP"),
        }
    }

    fn get(&self, path: &str) -> Answer {
        let url = format!("{}{path}", self.repository.http_url());
        let answer = self.client().get(url).basic_auth("x", Some(&self.token));
        let answer = answer.send().unwrap();
        (answer.status().as_u16(), answer.bytes().unwrap().to_vec())
    }

    /// One request of a fetch. Over SSH all that is said is the answer, standard error too, and
    /// the exit code stands for the status.
    pub fn post(&self, version: &str, body: Vec<u8>) -> Answer {
        if let Line::Ssh(sshd) = &self.line {
            let protocol = format!("version={version}");
            let variables = [
                ("REFWARDEN_TOKEN", &*self.token),
                ("GIT_PROTOCOL", &protocol),
            ];
            let asked = format!("git-upload-pack '{}.git'", self.repository.name);
            let outcome = sshd.session(&variables, &asked, &body);
            let code = outcome
                .code
                .map_or(u16::MAX, |code| u16::try_from(code).unwrap());
            return (code, [outcome.stdout, outcome.stderr].concat());
        }
        let url = format!("{}/git-upload-pack", self.repository.http_url());
        let answer = self
            .client()
            .post(url)
            .basic_auth("x", Some(&self.token))
            .header("content-type", "application/x-git-upload-pack-request")
            .header("git-protocol", format!("version={version}"))
            .body(body)
            .send()
            .unwrap();
        (answer.status().as_u16(), answer.bytes().unwrap().to_vec())
    }

    /// A command of version 2.
    pub fn command(&self, command: &str, arguments: &[String]) -> Answer {
        let mut body = line(format!("command={command}\n").as_bytes());
        let format = format!("object-format={}\n", self.repository.format);
        body.extend([&line(format.as_bytes())[..], b"0001"].concat());
        if command == "fetch" {
            body.extend(line(b"no-progress\n"));
        }
        for argument in arguments {
            body.extend(line(format!("{argument}\n").as_bytes()));
        }
        body.extend(flush());
        self.post("2", body)
    }

    /// A request of version 0 or 1: wants and the like, a flush, then the rest.
    pub fn old(&self, version: &str, first: &[String], rest: &[String]) -> Answer {
        let mut body = Vec::new();
        for text in first {
            body.extend(line(format!("{text}\n").as_bytes()));
        }
        body.extend(flush());
        for text in rest {
            body.extend(line(format!("{text}\n").as_bytes()));
        }
        self.post(version, body)
    }
}

pub fn without(answer: Answer, name: &str) -> Answer {
    let (status, bytes) = answer;
    let mut left = Vec::new();
    let mut rest = &bytes[..];
    while let Some(at) = memchr::memmem::find(rest, name.as_bytes()) {
        left.extend_from_slice(&rest[..at]);
        left.push(b'?');
        rest = &rest[at + name.len()..];
    }
    left.extend_from_slice(rest);
    // Packs of the same objects need not be the same bytes.
    if let Some(pack) = memchr::memmem::find(&left, b"PACK") {
        left.truncate(pack.saturating_sub(5));
        left.extend_from_slice(b"PACK");
    }
    (status, left)
}

pub fn holds(bytes: &[u8], needle: &str) -> bool {
    memchr::memmem::find(bytes, needle.as_bytes()).is_some()
}

/// Something of the original that a reader might ask for, and its name.
fn affected(repository: &Repository<'_>) -> Vec<(&'static str, String)> {
    [
        ("commit", "refs/heads/main"),
        ("older commit", "refs/heads/side"),
        ("tree", "refs/heads/main^{tree}"),
        ("subtree", "refs/heads/main:conf"),
        ("blob", "refs/heads/main:conf/app"),
        ("undone blob", "refs/heads/main~1:other"),
        ("tag", "refs/tags/v1"),
    ]
    .into_iter()
    .map(|(what, revision)| (what, repository.value(revision).unwrap()))
    .collect()
}

/// One way to ask for an object by its name.
type Ask<'r> = Box<dyn Fn(&str) -> Answer + 'r>;

#[test]
fn what_the_view_lacks_is_answered_like_what_never_was() {
    for (name, format, seed) in [("chan-1", "sha1", 9200), ("chan-256", "sha256", 9210)] {
        let repository = planted(masked_stack(), name, format, seed);
        let reader = Reader::new(&repository);
        let clone = Clone::new(&repository, &reader.token, &[]);
        tells_nothing_apart(&reader, &clone.git(&["rev-parse", "HEAD"]));
    }
}

/// Asks in every way for what the view lacks, and for what never was. `head` is the view's.
#[track_caller]
pub fn tells_nothing_apart(reader: &Reader<'_>, head: &str) {
    let nowhere = "5".repeat(head.len());
    let asks = asks(reader, head);
    let mut affected = affected(reader.repository);
    if matches!(reader.line, Line::Ssh(_)) {
        // Each is a session of its own.
        affected.retain(|(what, _)| ["commit", "blob", "tag"].contains(what));
    }
    for (channel, ask) in &asks {
        let unknown = without(ask(&nowhere), &nowhere);
        for (what, oid) in &affected {
            let answer = without(ask(oid), oid);
            let shown = String::from_utf8_lossy(&answer.1[..answer.1.len().min(300)]);
            assert_eq!(answer, unknown, "{channel} of a {what}: {shown}");
            if channel.contains("want") {
                assert!(!holds(&answer.1, "PACK"), "{channel} of a {what}");
            }
        }
    }
}

/// Every way to ask for an object.
fn asks<'r>(reader: &'r Reader<'_>, head: &'r str) -> Vec<(String, Ask<'r>)> {
    let text = |text: String| vec![text];
    let mut asks: Vec<(String, Ask<'r>)> = Vec::new();
    asks.push((
        "v2 want".into(),
        Box::new(move |oid| reader.command("fetch", &[format!("want {oid}"), "done".into()])),
    ));
    asks.push((
        "v2 have".into(),
        Box::new(move |oid| {
            reader.command("fetch", &[format!("want {head}"), format!("have {oid}")])
        }),
    ));
    asks.push((
        "v2 have, thin and done".into(),
        Box::new(move |oid| {
            let arguments = ["thin-pack".into(), format!("want {head}")];
            let rest = [format!("have {oid}"), "done".into()];
            reader.command("fetch", &[&arguments[..], &rest].concat())
        }),
    ));
    asks.push((
        "v2 shallow".into(),
        Box::new(move |oid| {
            let arguments = [
                format!("shallow {oid}"),
                "deepen 1".into(),
                format!("want {head}"),
            ];
            reader.command("fetch", &arguments)
        }),
    ));
    asks.push((
        "v2 sparse:oid".into(),
        Box::new(move |oid| {
            let arguments = [
                format!("filter sparse:oid={oid}"),
                format!("want {head}"),
                "done".into(),
            ];
            reader.command("fetch", &arguments)
        }),
    ));
    asks.push((
        "v2 object-info".into(),
        Box::new(move |oid| reader.command("object-info", &["size".into(), format!("oid {oid}")])),
    ));
    for version in ["0", "1"] {
        asks.push((
            format!("v{version} want"),
            Box::new(move |oid| {
                reader.old(
                    version,
                    &text(format!("want {oid} side-band-64k no-progress")),
                    &["done".into()],
                )
            }),
        ));
        asks.push((
            format!("v{version} second want"),
            Box::new(move |oid| {
                let first = [
                    format!("want {head} side-band-64k no-progress"),
                    format!("want {oid}"),
                ];
                reader.old(version, &first, &["done".into()])
            }),
        ));
        asks.push((
            format!("v{version} have"),
            Box::new(move |oid| {
                let first = text(format!(
                    "want {head} multi_ack_detailed side-band-64k no-progress"
                ));
                let mut body = Vec::new();
                body.extend(line(format!("{}\n", first[0]).as_bytes()));
                body.extend(flush());
                body.extend(line(format!("have {oid}\n").as_bytes()));
                body.extend(flush());
                reader.post(version, body)
            }),
        ));
        asks.push((
            format!("v{version} shallow"),
            Box::new(move |oid| {
                let first = [
                    format!("want {head} side-band-64k no-progress shallow"),
                    format!("shallow {oid}"),
                    "deepen 1".into(),
                ];
                reader.old(version, &first, &[])
            }),
        ));
        asks.push((
            format!("v{version} sparse:oid"),
            Box::new(move |oid| {
                let first = [
                    format!("want {head} side-band-64k no-progress filter"),
                    format!("filter sparse:oid={oid}"),
                ];
                reader.old(version, &first, &["done".into()])
            }),
        ));
    }
    asks
}

#[test]
fn only_plain_fetches_are_answered() {
    let repository = planted(masked_stack(), "chan-plain", "sha1", 9220);
    let main = repository.value("refs/heads/main").unwrap();
    let side = repository.value("refs/heads/side").unwrap();
    for name in [
        format!("refs/replace/{side}"),
        "refs/notes/commits".to_owned(),
    ] {
        let hooks = ["-c", "core.hooksPath=/dev/null"];
        let update = ["update-ref", &name, &main];
        repository.git(&[&hooks[..], &update].concat()).passes();
    }
    let reader = Reader::new(&repository);
    let clone = Clone::new(&repository, &reader.token, &[]);
    let head = clone.git(&["rev-parse", "HEAD"]);
    for path in [
        "/info/refs",
        "/info/refs?service=git-upload-archive",
        "/HEAD",
        "/config",
        "/packed-refs",
        "/objects/info/packs",
        "/objects/info/alternates",
        "/objects/info/http-alternates",
        &format!("/objects/{}/{}", &head[..2], &head[2..]),
    ] {
        let (status, _) = reader.get(path);
        assert!(matches!(status, 403 | 404), "{path}: {status}");
    }
    let (_, said) = reader.get("/info/refs?service=git-upload-pack");
    let advertised = String::from_utf8_lossy(&said).into_owned();
    for word in ["refs/replace", "refs/notes", main.as_str()] {
        assert!(!advertised.contains(word), "{advertised}");
    }
    for (command, arguments) in [
        (
            "fetch",
            vec!["want-ref refs/heads/main".to_owned(), "done".to_owned()],
        ),
        (
            "fetch",
            vec![
                format!("want {head}"),
                "packfile-uris https".into(),
                "done".into(),
            ],
        ),
        ("bundle-uri", Vec::new()),
        ("object-info", vec!["size".into(), format!("oid {head}")]),
    ] {
        let (status, bytes) = reader.command(command, &arguments);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let refused = status != 200 || shown.contains("ERR ");
        assert!(
            refused && !holds(&bytes, "PACK"),
            "{command} {arguments:?}: {status} {shown}"
        );
    }
    let (_, capabilities) = {
        let url = format!(
            "{}/info/refs?service=git-upload-pack",
            repository.http_url()
        );
        let answer = reader
            .client()
            .get(url)
            .basic_auth("x", Some(&reader.token));
        let answer = answer.header("git-protocol", "version=2").send().unwrap();
        (answer.status(), answer.text().unwrap())
    };
    for word in [
        "ref-in-want",
        "object-info",
        "bundle-uri",
        "packfile-uris",
        "session-id",
    ] {
        assert!(!capabilities.contains(word), "{word}: {capabilities}");
    }
    assert!(capabilities.contains("filter"), "{capabilities}");
}

#[test]
fn hidden_refs_are_absent_under_every_name() {
    let repository = planted(masked_stack(), "narrow-chan", "sha1", 9230);
    let work = repository.work();
    let hidden = work.commit(&[(b"hidden", b"hidden\n")], "Hidden");
    push(
        &work,
        &["HEAD:refs/heads/hidden-chan", "HEAD:refs/tags/hidden-tag"],
    );
    let reader = Reader::new(&repository);
    let clone = Clone::new(&repository, &reader.token, &[]);
    let head = clone.git(&["rev-parse", "HEAD"]);
    for (there, nowhere) in [
        ("refs/heads/hidden-chan", "refs/heads/absent-chan"),
        ("hidden-chan", "absent-chan"),
        ("refs/tags/hidden-tag", "refs/tags/absent-tag"),
    ] {
        let ask = |name: &str| {
            let deepen = [format!("deepen-not {name}"), format!("want {head}")];
            let sparse = format!("filter sparse:oid={name}:conf");
            let answers = [
                reader.command("fetch", &deepen),
                reader.command("fetch", &[format!("want-ref {name}"), "done".into()]),
                reader.command("fetch", &[sparse, format!("want {head}"), "done".into()]),
                reader.command("ls-refs", &[format!("ref-prefix {name}"), "symrefs".into()]),
                reader.old(
                    "0",
                    &[
                        format!("want {head} deepen-not"),
                        format!("deepen-not {name}"),
                    ],
                    &[],
                ),
            ];
            answers.map(|answer| without(answer, name))
        };
        assert_eq!(ask(there), ask(nowhere), "{there}");
    }
    let (_, listed) = reader.command(
        "ls-refs",
        &["peel".into(), "unborn".into(), "symrefs".into()],
    );
    assert!(!holds(&listed, "hidden") && !holds(&listed, &hidden));
}

#[test]
fn readers_without_a_token_and_an_absent_service_give_no_more_away() {
    let stack = configured(
        |text| text.replacen("anonymous_reads = false", "anonymous_reads = true", 1),
        "[views]\nanonymous = \"masked\"\n",
    );
    let repository = planted(&stack, "nobody", "sha1", 9240);
    let directory = tempfile::tempdir().unwrap();
    let git = stack.git();
    let url = repository.http_url();
    git.run(directory.path(), &["clone", "-q", &url, "."])
        .passes();
    let text = std::fs::read_to_string(directory.path().join("conf/app")).unwrap();
    assert!(text.contains("REFWARDEN-MASKED-") && !text.contains(&secret(9240)));
    let (agent, person) = (stack.token("ada"), stack.token_as("operator", "ada", "10m"));
    // git shows no token unless it is asked for one, and here it is not.
    let shown = |token: &str| format!("http.extraHeader=Authorization: Bearer {token}");
    let (as_agent, as_person) = (shown(&agent), shown(&person));
    Clone::new(&repository, &agent, &["-c", &as_agent]);
    let whole = Clone::new(&repository, &person, &["-c", &as_person]);
    assert!(whole.read("conf/app").contains(&secret(9240)));
    stack.kill("service");
    let masked = Clone::new(&repository, &agent, &["-c", &as_agent]);
    masked.tells_nothing(&repository, &[secret(9240), secret(9241)]);
    // Whether they still may read everything is not known.
    Clone::attempt(&repository, &person, &["-c", &as_person])
        .1
        .fails(&["RW501"]);
    let logs = stack.logs();
    assert!(!logs.contains(&secret(9240)));
}
