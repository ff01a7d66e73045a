//! What the identity provider must refuse.

use super::error::OauthError;
use super::token::TokenIn;
use super::*;

const CALLBACK: &str = "http://127.0.0.1:1/sign-in/callback";

fn idp() -> (Idp, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "[[user]]\nname = \"ada\"\npassword = \"p\"\nemail = \"ada@x\"\ngroups = [\"g\"]\n\
         [[client]]\nid = \"agent\"\nsecret = \"s\"\nkind = \"agent\"\n\
         [[client]]\nid = \"web\"\nsecret = \"s\"\nkind = \"web\"\nredirect_uris = [\"{CALLBACK}\"]\n"
    );
    std::fs::write(directory.path().join("identities.toml"), text).unwrap();
    let idp = Idp {
        issuer: "http://127.0.0.1:1/idp".into(),
        audience: "refwarden".into(),
        identities: Identities::read(&directory.path().join("identities.toml")).unwrap(),
        signer: Signer::open(&directory.path().join("k")).unwrap(),
        codes: Mutex::default(),
        tries: Mutex::default(),
    };
    (idp, directory)
}

fn code(idp: &Idp) -> String {
    let grant = Grant {
        client_id: "web".into(),
        redirect_uri: CALLBACK.into(),
        challenge: crate::random::pkce_challenge("v"),
        nonce: Some("n".into()),
        user: "ada".into(),
        made: Instant::now(),
    };
    idp.issue_code(grant).unwrap()
}

fn exchange(code: &str) -> TokenIn {
    TokenIn {
        grant_type: "authorization_code".into(),
        client_id: Some("web".into()),
        client_secret: Some("s".into()),
        code: Some(code.into()),
        redirect_uri: Some(CALLBACK.into()),
        code_verifier: Some("v".into()),
        ..TokenIn::default()
    }
}

#[test]
fn a_code_is_good_once_for_its_client_address_and_verifier() {
    let (idp, _directory) = idp();
    let good = exchange(&code(&idp));
    let claims = idp.grant(&good).unwrap();
    assert_eq!(claims.id_token.unwrap()["nonce"], "n");
    assert_eq!(claims.access["groups"][0], "g");
    assert_eq!(idp.grant(&good).unwrap_err(), OauthError::InvalidGrant);
    for spoil in [
        |asked: &mut TokenIn| asked.code_verifier = Some("w".into()),
        |asked: &mut TokenIn| asked.redirect_uri = Some(format!("{CALLBACK}/")),
        |asked: &mut TokenIn| asked.redirect_uri = None,
    ] {
        let code = code(&idp);
        let mut asked = exchange(&code);
        spoil(&mut asked);
        assert_eq!(idp.grant(&asked).unwrap_err(), OauthError::InvalidGrant);
        // The attempt has used the code up.
        assert_eq!(
            idp.grant(&exchange(&code)).unwrap_err(),
            OauthError::InvalidGrant
        );
    }
    let mut wrong = exchange(&code(&idp));
    wrong.client_secret = Some("t".into());
    assert_eq!(idp.grant(&wrong).unwrap_err(), OauthError::InvalidClient);
}

#[test]
fn an_agent_gets_tokens_for_known_people_and_nobody_s_own() {
    let (idp, _directory) = idp();
    let ask = |acts_for: Option<&str>, subject: Option<&str>, expires_in: &str| {
        idp.grant(&TokenIn {
            grant_type: "client_credentials".into(),
            client_id: Some("agent".into()),
            client_secret: Some("s".into()),
            acts_for: acts_for.map(Into::into),
            subject: subject.map(Into::into),
            expires_in: Some(expires_in.into()),
            ..TokenIn::default()
        })
    };
    let claims = ask(Some("ada"), None, "60").unwrap().access;
    assert_eq!(
        (&claims["sub"], &claims["act"]["sub"]),
        (&json!("ada"), &json!("agent"))
    );
    assert_eq!(ask(None, None, "60").unwrap().access["sub"], "agent");
    assert_eq!(
        ask(None, Some("ada"), "60").unwrap_err(),
        OauthError::UnauthorizedClient
    );
    for (human, seconds) in [("eve", "60"), ("ada", "0"), ("ada", "3601"), ("ada", "x")] {
        let refused = ask(Some(human), None, seconds);
        assert!(
            matches!(refused, Err(OauthError::InvalidRequest(_))),
            "{human} {seconds}"
        );
    }
}

#[test]
fn passwords_can_be_tried_ten_times_a_minute() {
    let (idp, _directory) = idp();
    let tries = (0..12).filter(|_| idp.may_try("ada")).count();
    assert_eq!(tries, 10);
    assert!(idp.may_try("grace"));
    idp.forget_tries("ada");
    assert!(idp.may_try("ada"));
}

#[test]
fn the_provider_is_reached_from_this_machine_only() {
    for (listen, url, good) in [
        ("127.0.0.1:8420", "http://127.0.0.1:8420", true),
        ("[::1]:8420", "http://[::1]:8420", true),
        ("127.0.0.1:8420", "http://localhost:8420", true),
        ("0.0.0.0:8420", "http://127.0.0.1:8420", false),
        ("192.0.2.1:8420", "http://127.0.0.1:8420", false),
        ("127.0.0.1:8420", "https://refwarden.example", false),
        ("127.0.0.1:8420", "http://localhost.example", false),
        ("localhost", "http://localhost", false),
    ] {
        assert_eq!(is_local(listen, url).is_ok(), good, "{listen} {url}");
    }
}

#[test]
fn a_client_says_who_it_is_in_one_way() {
    let both = |header: Option<(&str, &str)>, id: Option<&str>| {
        let mut asked = TokenIn {
            client_id: id.map(Into::into),
            client_secret: id.map(|_| "s".into()),
            ..TokenIn::default()
        };
        let header = header.map(|(id, secret)| (id.into(), secret.into()));
        asked.authenticate(header).map(|()| asked.client_id)
    };
    assert_eq!(both(Some(("web", "s")), None), Ok(Some("web".into())));
    assert_eq!(both(None, Some("web")), Ok(Some("web".into())));
    assert!(both(Some(("web", "s")), Some("web")).is_err());
}

#[test]
fn a_refused_basic_client_is_told_how_to_authenticate() {
    let answer = OauthError::InvalidClient.response(true);
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().contains_key("www-authenticate"));
    let answer = OauthError::InvalidClient.response(false);
    assert!(!answer.headers().contains_key("www-authenticate"));
}
