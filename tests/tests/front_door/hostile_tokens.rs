//! Tokens and key sets of an enemy: refused in bounded time and memory, and without one request
//! to an address that the configuration does not name.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use refwarden_testkit::{Repository, Stack, Via, Work, within};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::forger::{Forger, How, seconds, unsigned};

/// Protects a name that Unicode writes in two ways.
const COMPOSED: &str = "\n[[rule]]\nid = \"composed\"\nrefs = [\"refs/heads/caf\u{e9}\"]\n\
                        effect = \"deny\"\n";

/// The most that a refusal may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Place {
    /// The Refwarden.
    pub stack: Stack,
    /// An issuer that it trusts.
    pub good: Forger,
    slow: Forger,
    flooded: Forger,
    /// Named by no configuration.
    trap: Forger,
    /// Issuers whose keys cannot be had, by what is wrong with them.
    bad: Vec<(&'static str, Forger)>,
}

/// A Refwarden that trusts good and bad issuers. It stops when this process ends.
pub fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let trap = Forger::start(How::Well);
        let keys = format!("{}/keys", trap.url);
        let by_name = format!(
            "http://localhost:{}/keys",
            trap.url.rsplit(':').next().unwrap()
        );
        let bad = [
            ("huge", How::Huge),
            ("endless", How::Endless),
            ("slow", How::SlowFrom(0)),
            ("moved for good", How::Redirect(301, keys.clone())),
            ("moved", How::Redirect(307, by_name.clone())),
            (
                "moved inside",
                How::Redirect(302, "http://10.0.0.1/keys".into()),
            ),
            ("elsewhere", How::Elsewhere(keys.clone())),
            ("elsewhere by name", How::Elsewhere(by_name)),
            ("a file", How::Elsewhere("file:///etc/passwd".into())),
            ("discovery moved", How::DiscoveryRedirect(trap.url.clone())),
        ];
        let bad: Vec<_> = bad.map(|(what, how)| (what, Forger::start(how))).into();
        let [good, flooded] = [(); 2].map(|()| Forger::start(How::Well));
        let slow = Forger::start(How::SlowFrom(1));
        let mut stack = Stack::start();
        let file = stack.directory().join("refwarden.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut config: toml::Table = text.parse().unwrap();
        let issuers = config["issuer"].as_array_mut().unwrap();
        let named = [&good, &slow, &flooded].into_iter();
        for forger in named.chain(bad.iter().map(|(_, forger)| forger)) {
            let mut issuer = toml::toml! {
                kind = "human"
                algorithms = ["EdDSA", "RS256", "ES256"]
            };
            issuer.insert("url".to_owned(), forger.url.as_str().into());
            issuers.push(issuer.into());
        }
        std::fs::write(&file, config.to_string()).unwrap();
        let file = stack.directory().join("policy.toml");
        let policy = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, policy + COMPOSED).unwrap();
        stack.restart();
        Place {
            stack,
            good,
            slow,
            flooded,
            trap,
            bad,
        }
    })
}

/// What the API answers to a token: 401 where it is not accepted.
fn status(client: &Client, token: &str) -> u16 {
    let url = format!(
        "{}/api/v1/events?limit=1",
        place().stack.started().service_url
    );
    let response = client.get(url).bearer_auth(token).send().unwrap();
    response.status().as_u16()
}

fn client() -> Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let made = || Client::builder().no_proxy().build().unwrap();
    CLIENT.get_or_init(made).clone()
}

/// The API and a push refuse a token.
#[track_caller]
fn refused(repository: &Repository<'_>, work: &Work<'_>, token: &str, what: &str) {
    assert_eq!(status(&client(), token), 401, "{what}");
    let pushed = work.push_with(token, Via::Local, &["HEAD:refs/heads/topic"]);
    let pushed = pushed.fails(&["RW10"]);
    assert!(pushed.took < PATIENCE, "{what}: {pushed}");
    assert_eq!(repository.value("refs/heads/topic"), None, "{what}");
}

/// The trap was asked nothing.
#[track_caller]
fn nobody_went_astray() {
    let trapped = place().trap.asked.connections.load(Ordering::SeqCst);
    assert_eq!(trapped, 0, "a request went where no configuration points");
}

#[test]
fn headers_of_an_enemy_are_refused() {
    let place = place();
    let repository = Repository::guarded(&place.stack, "hostile-headers");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let good = &place.good;
    let trap = &place.trap.url;
    let claims = good.claims();
    let by_mac = |kid: &str, key: &[u8]| {
        let body = unsigned(&json!({"alg": "HS256", "kid": kid, "typ": "JWT"}), &claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(body.as_bytes());
        let code = mac.finalize().into_bytes();
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(code))
    };
    let encoded = URL_SAFE_NO_PAD.encode(good.public());
    for (kid, key) in [
        ("k1", good.public()),
        ("k1", encoded.as_bytes()),
        ("symmetric", good.public()),
    ] {
        refused(
            &repository,
            &work,
            &by_mac(kid, key),
            "HMAC with a public key",
        );
    }
    let own_key = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded});
    for header in [
        json!({"alg": "none", "kid": "k1"}),
        json!({"alg": "EdDSA", "kid": "k1", "crit": ["exp"], "exp": 1}),
        json!({"alg": "EdDSA", "kid": "k1", "crit": []}),
        json!({"alg": "EdDSA", "kid": "k1", "b64": false, "crit": ["b64"]}),
        json!({"alg": "EdDSA", "kid": "k1", "jku": format!("{trap}/keys")}),
        json!({"alg": "EdDSA", "kid": "k1", "x5u": format!("{trap}/keys")}),
        json!({"alg": "EdDSA", "kid": "k1", "jwk": own_key}),
        json!({"alg": "EdDSA", "kid": format!("{trap}/keys")}),
        json!({"alg": "EdDSA", "kid": "../../../../etc/passwd"}),
        json!({"alg": "EdDSA", "kid": "k1' OR '1'='1"}),
        json!({"alg": "EdDSA", "kid": "k1\u{0}"}),
        json!({"alg": "EdDSA", "kid": ["k1"]}),
        json!({"alg": "EdDSA", "kid": null}),
        json!({"alg": "EdDSA"}),
        json!({"alg": "EdDSA", "kid": "for-encryption"}),
        json!({"alg": "EdDSA", "kid": "for-another"}),
        json!({"alg": "ES256", "kid": "for-another"}),
        json!({"alg": "EdDSA", "kid": "symmetric"}),
        json!({"alg": "EdDSA", "kid": "k0"}),
        json!({"alg": "eddsa", "kid": "k1"}),
        json!({"alg": "RS256", "kid": "k1"}),
        json!({"alg": "PS256", "kid": "k1"}),
        json!({"alg": "unknown", "kid": "k1"}),
        json!({"alg": ["EdDSA"], "kid": "k1"}),
        json!({"kid": "k1"}),
    ] {
        let token = good.sign(&header, &claims);
        refused(&repository, &work, &token, &header.to_string());
    }
    let none = unsigned(&json!({"alg": "none"}), &claims);
    refused(&repository, &work, &format!("{none}."), "no signature");
    let long = json!({"alg": "EdDSA", "kid": "k".repeat(8 << 10)});
    refused(&repository, &work, &good.sign(&long, &claims), "a long kid");
    // A megabyte: whether the server hears it out or hangs up, nothing comes of it.
    let longer = json!({"alg": "EdDSA", "kid": "k".repeat(1 << 20)});
    let longer = good.sign(&longer, &claims);
    let form = [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", longer.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ];
    let url = &place.stack.started().service_url;
    let traded = client().post(format!("{url}/oauth/token")).form(&form);
    let asked = client().get(format!("{url}/api/v1/events?limit=1"));
    for request in [traded, asked.bearer_auth(&longer)] {
        let passed = request.send().is_ok_and(|it| it.status().is_success());
        assert!(!passed);
    }
    // What all of them differ from passes.
    work.push_with(&good.token(&claims), Via::Local, &["HEAD:refs/heads/topic"])
        .passes();
    nobody_went_astray();
}

#[test]
fn claims_of_an_enemy_are_refused() {
    let place = place();
    let repository = Repository::guarded(&place.stack, "hostile-claims");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let good = &place.good;
    let now = seconds();
    let mut cases: Vec<(&str, Option<Value>)> = Vec::new();
    for name in ["exp", "nbf", "iat"] {
        // What would be in order as a whole number.
        let fits = if name == "exp" { now + 600 } else { now };
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
        let float = fits as f64 + 0.5;
        for value in [
            json!(fits.to_string()),
            json!(float),
            json!(format!("{fits}.0").parse::<f64>().unwrap()),
            json!(-1),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1e300),
            json!(null),
            json!(true),
            json!([fits]),
            json!({"seconds": fits}),
        ] {
            cases.push((name, Some(value)));
        }
    }
    // `nbf` alone may be missing (RFC 7519, section 4.1.5).
    for name in ["exp", "iat", "sub", "iss", "aud"] {
        cases.push((name, None));
    }
    for (name, value) in [
        ("exp", json!(now - 61)),
        ("exp", json!(now + 3700)),
        ("nbf", json!(now + 120)),
        ("iat", json!(now + 120)),
        ("aud", json!("refwarden/")),
        ("aud", json!("Refwarden")),
        ("aud", json!("")),
        ("aud", json!(["other"])),
        ("aud", json!([["refwarden"]])),
        ("aud", json!({"0": "refwarden"})),
        ("iss", json!(format!("{}/", good.url))),
        ("iss", json!(good.url.to_uppercase())),
        ("iss", json!([good.url])),
        ("iss", json!(place.trap.url)),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!(["ada"])),
        ("sub", json!("ada\u{0}")),
        ("sub", json!("a".repeat(513))),
        ("jti", json!(7)),
        ("act", json!("agent")),
        ("act", json!([])),
        ("refwarden", json!("*")),
    ] {
        cases.push((name, Some(value)));
    }
    for (name, value) in cases {
        let mut claims = good.claims();
        let map = claims.as_object_mut().unwrap();
        match value.clone() {
            Some(value) => map.insert(name.to_owned(), value),
            None => map.remove(name),
        };
        let what = format!("{name}: {value:?}");
        refused(&repository, &work, &good.token(&claims), &what);
    }
    // One issuer's key does not speak for another, nor for Refwarden itself.
    for other in [
        place.flooded.url.clone(),
        place.stack.started().service_url.clone(),
        format!("{}/idp", place.stack.started().service_url),
    ] {
        let mut claims = good.claims();
        claims["iss"] = json!(other);
        refused(&repository, &work, &good.token(&claims), &other);
    }
    let mut claims = good.claims();
    claims.as_object_mut().unwrap().remove("nbf");
    work.push_with(&good.token(&claims), Via::Local, &["HEAD:refs/heads/topic"])
        .passes();
    nobody_went_astray();
}

/// The service's highest use of memory so far, in KiB (proc(5), `VmHWM`).
fn peak() -> u64 {
    let path = format!("/proc/{}/status", place().stack.pid("service"));
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

#[test]
fn keys_that_cannot_be_had_refuse_in_time_and_memory() {
    let place = place();
    let repository = Repository::guarded(&place.stack, "hostile-keys");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let before = peak();
    for (what, forger) in &place.bad {
        let token = forger.token(&forger.claims());
        let pushed = work.push_with(&token, Via::Local, &["HEAD:refs/heads/topic"]);
        let pushed = pushed.fails(&["RW50"]);
        assert!(pushed.took < PATIENCE, "{what}: {pushed}");
        assert_eq!(repository.value("refs/heads/topic"), None, "{what}");
        let keys = forger.asked.keys.load(Ordering::SeqCst);
        assert!(keys <= 1, "{what}: asked {keys} times");
    }
    let grown = peak().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB for key sets");
    nobody_went_astray();
}

#[test]
fn a_flood_of_unknown_key_ids_is_few_requests() {
    let place = place();
    let forger = &place.flooded;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..10 {
            scope.spawn(move || {
                let client = client();
                for number in 0..100 {
                    let kid = format!("random-{thread}-{number}");
                    let header = json!({"alg": "EdDSA", "kid": kid});
                    let token = forger.sign(&header, &forger.claims());
                    assert_eq!(status(&client, &token), 401);
                }
            });
        }
    });
    // One at once, and one in each ten seconds.
    let most = 2 + begun.elapsed().as_secs() / 10;
    let asked = forger.asked.keys.load(Ordering::SeqCst) as u64;
    assert!((1..=most).contains(&asked), "{asked} of {most}");
    // Who has the right key is let in all the same.
    let repository = Repository::guarded(&place.stack, "flooded");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let token = forger.token(&forger.claims());
    work.push_with(&token, Via::Local, &["HEAD:refs/heads/topic"])
        .passes();
}

#[test]
fn nobody_waits_for_the_key_of_another() {
    let place = place();
    let forger = &place.slow;
    let known = || status(&client(), &forger.token(&forger.claims()));
    assert_ne!(known(), 401);
    // Ten seconds after the first, an unknown key id asks again, and now the issuer is slow.
    let unknown = || {
        let header = json!({"alg": "EdDSA", "kid": "unknown"});
        status(&client(), &forger.sign(&header, &forger.claims()))
    };
    std::thread::scope(|scope| {
        let mut waiting = None;
        within("the issuer is asked again", Duration::from_secs(40), || {
            let asking = waiting.take().unwrap_or_else(|| scope.spawn(unknown));
            if forger.asked.slow.load(Ordering::SeqCst) > 0 {
                waiting = Some(asking);
                return true;
            }
            if !asking.is_finished() {
                waiting = Some(asking);
            }
            false
        });
        assert_ne!(known(), 401);
        let slow = forger.asked.slow.load(Ordering::SeqCst);
        assert_eq!(slow, 1, "the known key had to wait for the unknown one");
        assert_eq!(waiting.unwrap().join().unwrap(), 401);
    });
}

#[test]
fn a_token_id_releases_once_whatever_happens() {
    let mut stack = Stack::start();
    let names = ["once-a", "once-b"];
    let token = stack.token("ada");
    {
        let repositories = names.map(|name| Repository::guarded(&stack, name));
        let works = repositories.each_ref().map(Repository::work);
        let mut running = Vec::new();
        for number in 0..4 {
            for work in &works {
                // Each its own: git itself stumbles over one pack that comes in twice at once.
                work.commit(&[(b"a", format!("{number}\n").as_bytes())], "A");
                let commit = work.git(&["rev-parse", "HEAD"]);
                let target = format!("{}:refs/heads/{number}", commit.trim());
                let mut command = work.push_command(&token, Via::Local, &[&target]);
                command.stderr(std::process::Stdio::piped());
                running.push(command.spawn().unwrap());
            }
        }
        let mut passed = 0;
        for push in running {
            let ended = push.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            if ended.status.success() {
                passed += 1;
            } else {
                assert!(said.contains("RW105") || said.contains("RW502"), "{said}");
            }
        }
        assert_eq!(passed, 1, "pushes that one token released");
        let heads = repositories.iter().map(|repository| {
            let listed = repository.git(&["for-each-ref", "refs/heads/"]).text();
            listed.lines().count() - 1
        });
        assert_eq!(heads.sum::<usize>(), 1);
    }
    stack.restart();
    let repository = Repository::guarded(&stack, "once-c");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    for via in [Via::Local, Via::Http] {
        work.push_with(&token, via, &["HEAD:refs/heads/later"])
            .fails(&["RW105"]);
    }
    assert_eq!(repository.value("refs/heads/later"), None);
}
