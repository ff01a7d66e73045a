//! Asks the approval service who a token names and what its owner may do.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use refwarden_wire::Problem;
use refwarden_wire::hook::{
    AUTHENTICATE, AuthenticateIn, AuthenticateOut, Operation, TOKEN_HEADER,
};
use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};

use crate::cache::Cache;
use crate::credential::Credential;
use crate::refusal::Refusal;

/// How long the service may take, so that a push is refused within five seconds when it is away.
const PATIENCE: Duration = Duration::from_secs(4);

/// The approval service, as the proxy sees it.
pub struct Authority {
    client: reqwest::Client,
    url: String,
    host_credential: SecretString,
    anonymous_reads: bool,
    recent: Mutex<Cache>,
}

impl Authority {
    /// Prepares to ask the service at `service_url` with the host's credential.
    pub fn new(
        service_url: &str,
        host_credential: SecretString,
        anonymous_reads: bool,
    ) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            url: format!("{}{AUTHENTICATE}", service_url.trim_end_matches('/')),
            host_credential,
            anonymous_reads,
            recent: Mutex::default(),
        })
    }

    /// Whether a request without a token is worth looking at.
    pub fn admits_anonymous(&self, operation: Operation) -> bool {
        self.anonymous_reads && operation == Operation::Fetch
    }

    /// Decides whether the holder of `credential` may do what `question` says.
    pub async fn authenticate(
        &self,
        credential: Option<&Credential>,
        question: &AuthenticateIn,
    ) -> Result<AuthenticateOut, Refusal> {
        if credential.is_none() && !self.admits_anonymous(question.operation) {
            return Err(Refusal::NoToken);
        }
        let reads = question.operation == Operation::Fetch;
        let (token, repository) = (credential.map(Credential::token), question.repository);
        let asked = Instant::now();
        match self.ask(credential, question).await {
            Ok(answer) => {
                if reads {
                    let mut recent = self.recent();
                    recent.remember(token, repository, &answer, asked, Instant::now());
                }
                Ok(answer)
            }
            Err(refusal @ (Refusal::ServiceDown | Refusal::ServiceFault)) if reads => {
                let recalled = self.recent().recall(token, repository, Instant::now());
                recalled.ok_or(refusal)
            }
            Err(refusal) => {
                self.recent().forget(token, repository, Instant::now());
                Err(refusal)
            }
        }
    }

    async fn ask(
        &self,
        credential: Option<&Credential>,
        question: &AuthenticateIn,
    ) -> Result<AuthenticateOut, Refusal> {
        let mut request = self
            .client
            .post(&self.url)
            .bearer_auth(self.host_credential.expose_secret());
        if let Some(credential) = credential {
            request = request.header(TOKEN_HEADER, credential.token().expose_secret());
        }
        let answer = request
            .json(question)
            .send()
            .await
            .map_err(|error| down(&error))?;
        let status = answer.status();
        if status.is_success() {
            return answer.json().await.map_err(|error| down(&error));
        }
        let problem: Option<Problem> = answer.json().await.ok();
        Err(refusal(status, problem, credential))
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn down(error: &reqwest::Error) -> Refusal {
    tracing::warn!(error = %error, "the approval service does not answer");
    if error.is_decode() {
        Refusal::ServiceFault
    } else {
        Refusal::ServiceDown
    }
}

/// Words an answer that is not a success. Only an answer that names a code of the identity
/// topic is about the token; a bare 401 is about the host credential.
fn refusal(
    status: StatusCode,
    problem: Option<Problem>,
    credential: Option<&Credential>,
) -> Refusal {
    use refwarden_model::Code;
    let code = problem.as_ref().and_then(|it| it.code);
    let event = problem
        .as_ref()
        .map(|it| it.event.clone())
        .unwrap_or_default();
    let title = problem.map(|it| it.title).unwrap_or_default();
    tracing::info!(%status, ?code, event, "the approval service refuses");
    match (status, code) {
        (_, Some(Code::HostRefused)) => Refusal::ServiceFault,
        (_, Some(Code::NoToken)) if credential.is_none() => Refusal::NoToken,
        (_, Some(code)) if code.is_of_identity() => Refusal::Token {
            code: Some(code),
            title,
            basic: matches!(credential, Some(Credential::Basic(_))),
        },
        (StatusCode::FORBIDDEN, _) => Refusal::Forbidden { code, title },
        (StatusCode::NOT_FOUND, _) | (_, Some(Code::UnknownRepository)) => Refusal::NotFound,
        _ => Refusal::ServiceFault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use refwarden_model::Code;

    fn check(status: u16, code: Option<Code>, expected: &Refusal) {
        let problem = code.map(|code| Problem {
            status,
            title: "t".into(),
            code: Some(code),
            event: "e".into(),
        });
        let bearer = Credential::parse("Bearer x").unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            &refusal(status, problem, Some(&bearer)),
            expected,
            "{status} {code:?}"
        );
    }

    #[test]
    fn only_an_identity_code_blames_the_token() {
        let code = Some(Code::ExpiredToken);
        let token = Refusal::Token {
            code,
            title: "t".into(),
            basic: false,
        };
        check(401, code, &token);
        check(401, None, &Refusal::ServiceFault);
        check(401, Some(Code::HostRefused), &Refusal::ServiceFault);
        check(404, Some(Code::UnknownRepository), &Refusal::NotFound);
        check(500, None, &Refusal::ServiceFault);
    }

    #[test]
    fn nobody_pushes_without_a_token() {
        let open = Authority::new("http://127.0.0.1:1", "h".to_owned().into(), true).unwrap();
        let shut = Authority::new("http://127.0.0.1:1", "h".to_owned().into(), false).unwrap();
        assert!(open.admits_anonymous(Operation::Fetch));
        assert!(!open.admits_anonymous(Operation::Push));
        assert!(!shut.admits_anonymous(Operation::Fetch));
    }
}
