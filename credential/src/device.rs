//! Device flow (RFC 8628): the user signs in with a browser, anywhere, and this program waits.

use std::io::Write as _;
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use secrecy::SecretString;
use serde::Deserialize;

use crate::Failure;
use crate::service::{Refusal, read};

/// Waits that a server may ask for, in seconds; RFC 8628, section 3.2, has 5 as the default.
const INTERVAL: std::ops::RangeInclusive<u64> = 1..=60;
/// Longest that somebody is waited for.
const PATIENCE: Duration = Duration::from_mins(15);
/// Questions in a row that may go unanswered.
const FAILURES_MAX: u32 = 3;

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    device_authorization_endpoint: Option<String>,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Begun {
    device_code: SecretString,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Signed {
    id_token: Option<SecretString>,
}

/// Signs somebody in at an issuer, as that public client, and returns the ID token.
pub fn sign_in(http: &Client, issuer: &str, client: &str) -> Result<SecretString, Failure> {
    use secrecy::ExposeSecret as _;
    let fault = |what: &str| Failure::new(format!("signing in at {issuer} failed: {what}"));
    let base = issuer.trim_end_matches('/');
    let url = format!("{base}/.well-known/openid-configuration");
    let response = http.get(url).send();
    let found: Discovery = response
        .map_err(|_| fault("it does not answer"))
        .and_then(read)?;
    if found.issuer != issuer {
        return Err(fault("it names another issuer"));
    }
    let Some(endpoint) = found.device_authorization_endpoint else {
        return Err(fault("it has no device flow"));
    };
    let form = [
        ("client_id", client),
        ("scope", "openid profile email groups"),
    ];
    let response = http.post(endpoint).form(&form).send();
    let response = response.map_err(|_| fault("it does not answer"))?;
    if !response.status().is_success() {
        let why = read::<Refusal>(response).map(|why| why.error);
        return Err(fault(&why.unwrap_or_else(|_| "no reason given".to_owned())));
    }
    let begun: Begun = read(response)?;
    show(&begun);
    let deadline = Instant::now() + PATIENCE.min(Duration::from_secs(begun.expires_in));
    let mut interval = begun
        .interval
        .unwrap_or(5)
        .clamp(*INTERVAL.start(), *INTERVAL.end());
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", begun.device_code.expose_secret()),
        ("client_id", client),
    ];
    let mut failures = 0;
    while Instant::now() < deadline && failures < FAILURES_MAX {
        std::thread::sleep(Duration::from_secs(interval));
        let Ok(response) = http.post(&found.token_endpoint).form(&form).send() else {
            failures += 1;
            continue;
        };
        failures = 0;
        if response.status().is_success() {
            let signed: Signed = read(response)?;
            return signed.id_token.ok_or_else(|| fault("it gives no ID token"));
        }
        match read::<Refusal>(response)?.error.as_str() {
            "authorization_pending" => {}
            // RFC 8628, section 3.5: five seconds more from now on.
            "slow_down" => interval += 5,
            "access_denied" => return Err(fault("you said no")),
            other => return Err(fault(other)),
        }
    }
    if failures < FAILURES_MAX {
        Err(fault("nobody signed in in time"))
    } else {
        Err(fault("it does not answer any more"))
    }
}

/// What the user has to do. Only printable ASCII of the server's words reaches the terminal.
fn show(begun: &Begun) {
    let tame = |text: &str| -> String {
        let shown = text.chars().filter(|c| (' '..='~').contains(c));
        shown.take(300).collect()
    };
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "To sign in, open {}", tame(&begun.verification_uri));
    let _ = writeln!(stderr, "and enter the code {}", tame(&begun.user_code));
    if let Some(whole) = &begun.verification_uri_complete {
        let _ = writeln!(stderr, "(or open {})", tame(whole));
    }
}
