//! Tokens that must not pass, and the few that must. Keys are made for the test.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{EncodingKey, Header as JwtHeader};
use refwarden_model::ActorKind;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://id.example";
const NOW: i64 = 1_800_000_000;

struct Provider {
    key: Vec<u8>,
    issuers: Issuers,
    public: String,
    _directory: tempfile::TempDir,
}

fn provider() -> Provider {
    let key = Ed25519KeyPair::generate().unwrap();
    let public = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    let jwks = json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "x": public, "kid": "k1", "alg": "EdDSA", "use": "sig"}
    ]});
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("jwks.json"), jwks.to_string()).unwrap();
    let issuer = Issuer {
        url: ISSUER.into(),
        kind: refwarden_config::IssuerKind::Human,
        algorithms: vec!["EdDSA".into(), "RS256".into()],
        jwks_file: Some("jwks.json".into()),
        max_lifetime: 3600,
        leeway: 60,
        groups_claim: "groups".into(),
        claims: vec!["environment".into()],
        exchange_audiences: vec![],
        endpoint_hosts: vec![],
    };
    let http = crate::identity::client().unwrap();
    let issuers = Issuers::new(&[issuer], None, directory.path(), http).unwrap();
    let key = key.to_pkcs8v1().unwrap().as_ref().to_vec();
    Provider {
        key,
        issuers,
        public,
        _directory: directory,
    }
}

impl Provider {
    fn sign(&self, header: &JwtHeader, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ed_der(&self.key)).unwrap()
    }

    /// A signed token whose header is exactly that JSON.
    fn sign_raw(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let body = format!("{}.{}", encode(header), encode(claims));
        let pair = Ed25519KeyPair::from_pkcs8(&self.key).unwrap();
        format!(
            "{body}.{}",
            URL_SAFE_NO_PAD.encode(pair.sign(body.as_bytes()).as_ref())
        )
    }

    async fn check(&self, token: &str) -> Result<VerifiedToken, TokenError> {
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        self.issuers.verify(token, "refwarden", now).await
    }
}

fn header() -> JwtHeader {
    let mut header = JwtHeader::new(Algorithm::EdDSA);
    header.kid = Some("k1".into());
    header
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "refwarden", "sub": "ada", "jti": "t1",
        "iat": NOW, "nbf": NOW, "exp": NOW + 600,
        "email": "ada@example.org", "email_verified": true, "groups": ["developers"],
        "act": {"sub": "agent"}
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_good_token_names_the_agent_and_the_human_behind_it() {
    let provider = provider();
    let token = provider
        .check(&provider.sign(&header(), &claims()))
        .await
        .unwrap();
    assert_eq!(token.actor_chain.describe(), "agent for ada");
    assert_eq!(token.actor_chain.pusher.kind, ActorKind::Agent);
    assert_eq!(token.token_id, "t1");
    let human = with("act", Value::Null);
    let mut human = human.as_object().unwrap().clone();
    human.remove("act");
    let token = provider
        .check(&provider.sign(&header(), &Value::Object(human)))
        .await
        .unwrap();
    assert_eq!(token.actor_chain.pusher.kind, ActorKind::Human);
    assert_eq!(
        token.actor_chain.pusher.email.as_deref(),
        Some("ada@example.org")
    );
}

#[tokio::test]
async fn a_client_that_acts_for_itself_is_no_human() {
    let provider = provider();
    let claims = json!({"iss": ISSUER, "aud": "refwarden", "sub": "bot", "client_id": "bot",
        "iat": NOW, "exp": NOW + 60});
    let token = provider
        .check(&provider.sign(&header(), &claims))
        .await
        .unwrap();
    assert_eq!(token.actor_chain.pusher.kind, ActorKind::Agent);
    assert_eq!(token.token_id.len(), 64);
}

#[tokio::test]
async fn claims_of_the_wrong_type_or_value_are_refused() {
    use TokenError::{Expired, Foreign, Malformed, NotYetValid};
    let provider = provider();
    let malformed = || Malformed("");
    for (name, value, expected) in [
        ("exp", json!(NOW - 61), malformed()),
        ("exp", json!("9999999999"), malformed()),
        ("exp", json!(1_900_000_000.5), malformed()),
        ("exp", Value::Null, malformed()),
        ("exp", json!(-1), malformed()),
        ("exp", json!(u64::MAX), malformed()),
        ("exp", json!(NOW + 3601), Foreign("")),
        ("iat", json!("now"), malformed()),
        ("iat", json!(NOW + 61), NotYetValid),
        ("nbf", json!(NOW + 61), NotYetValid),
        ("nbf", json!("0"), malformed()),
        ("aud", json!("other"), Foreign("")),
        ("aud", json!([]), Foreign("")),
        ("aud", json!({"refwarden": 1}), malformed()),
        ("aud", Value::Null, malformed()),
        ("iss", json!("https://id.example/"), Foreign("")),
        ("iss", json!("https://evil.example"), Foreign("")),
        ("sub", json!(""), malformed()),
        ("sub", json!(7), malformed()),
        ("sub", Value::Null, malformed()),
        ("sub", json!("a\nb"), malformed()),
        ("act", json!("agent"), malformed()),
        ("act", json!({"sub": 1}), malformed()),
        ("groups", json!("admins"), malformed()),
    ] {
        let token = provider.sign(&header(), &with(name, value.clone()));
        let error = provider.check(&token).await.unwrap_err();
        let same = std::mem::discriminant(&error) == std::mem::discriminant(&expected);
        assert!(same, "{name} = {value}: {error:?}");
    }
    let mut old = with("exp", json!(NOW - 60));
    old["iat"] = json!(NOW - 600);
    old["nbf"] = json!(NOW - 600);
    assert_eq!(
        provider
            .check(&provider.sign(&header(), &old))
            .await
            .unwrap_err(),
        Expired
    );
}

#[tokio::test]
async fn forged_headers_and_signatures_are_refused() {
    let provider = provider();
    let good = provider.sign(&header(), &claims());
    let (body, signature) = good.rsplit_once('.').unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let hmac = {
        let header = JwtHeader {
            kid: Some("k1".into()),
            ..JwtHeader::new(Algorithm::HS256)
        };
        let key = EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(&provider.public).unwrap());
        jsonwebtoken::encode(&header, &claims(), &key).unwrap()
    };
    let raw = |header: Value| provider.sign_raw(&header, &claims());
    let tokens = [
        String::new(),
        "a.b".into(),
        "a.b.c.d".into(),
        format!("{body}."),
        format!("{body}.{}", signature.chars().rev().collect::<String>()),
        format!("{}.{}.", encode(&json!({"alg": "none"})), encode(&claims())),
        format!(
            "{}.{}.x",
            encode(&json!({"alg": "NONE", "kid": "k1"})),
            encode(&claims())
        ),
        hmac,
        raw(json!({"alg": "EdDSA", "kid": "other"})),
        raw(json!({"alg": "EdDSA", "kid": "../../etc/passwd"})),
        raw(json!({"alg": "EdDSA", "kid": "k".repeat(1 << 20)})),
        raw(json!({"alg": "EdDSA", "kid": 1})),
        raw(json!({"alg": "EdDSA", "kid": "k1", "crit": ["exp"]})),
        raw(json!({"alg": "RS256", "kid": "k1"})),
        raw(json!({"alg": "ES256", "kid": "k1"})),
        raw(json!({"alg": "unknown", "kid": "k1"})),
        raw(json!({"alg": "EdDSA", "kid": "k1", "jku": "http://127.0.0.1:1/"})),
        raw(json!({"alg": "EdDSA", "kid": "k1", "x5u": "http://127.0.0.1:1/"})),
        raw(json!({"alg": "EdDSA", "kid": "k1",
            "jwk": {"kty": "OKP", "crv": "Ed25519", "x": provider.public}})),
        raw(json!({"kid": "k1"})),
    ];
    for token in tokens {
        let error = provider.check(&token).await.unwrap_err();
        let shown: String = token.chars().take(60).collect();
        let refused = matches!(error, TokenError::Malformed(_) | TokenError::BadSignature);
        assert!(refused, "{shown}: {error:?}");
    }
    let another = self::provider();
    assert_eq!(
        provider
            .check(&another.sign(&header(), &claims()))
            .await
            .unwrap_err(),
        TokenError::BadSignature
    );
}
