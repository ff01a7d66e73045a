//! What a client is told when it is refused.
//!
//! git prints a `text/plain` body of a refused `info/refs` as `remote:` lines (remote-curl's
//! `show_http_message`), so that is where refusals are worded; for a refused POST it prints the
//! status only. A body never says more than its reader may know: a repository that does not
//! exist and one that is not under guard look the same.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use refwarden_gitio::served::Gap;
use refwarden_model::bytes::escape;
use refwarden_model::{ActorChain, Code};

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential; the client is asked for one.
    NoToken,
    /// The service does not accept the token.
    Token {
        /// The service's code, where it gave one.
        code: Option<Code>,
        /// The service's sentence.
        title: String,
        /// Whether the token came as a password. A credential helper then has to forget it,
        /// which git makes it do on a 401 alone; with a header of the user's own making git
        /// would ask for a password and show nothing of what is said here, but for a 403.
        basic: bool,
    },
    /// Known, but not allowed this.
    Forbidden {
        /// The service's code, where it gave one.
        code: Option<Code>,
        /// The service's sentence.
        title: String,
    },
    /// No such repository, or none that is under guard.
    NotFound,
    /// Dumb protocol, `upload-archive`, and the like.
    Unsupported,
    /// With this method only.
    WrongMethod(&'static str),
    /// A body of another type or coding than git's.
    MediaType,
    /// The body is none that git sends.
    Malformed,
    /// The body is longer than any of git's.
    TooLong,
    /// The body did not come in time.
    Paused,
    /// Git would run no hooks that judge, or a fetch could not be recorded.
    Unguarded(Gap),
    /// The service does not answer.
    ServiceDown,
    /// The service answered with an error, or did not accept the host credential.
    ServiceFault,
    /// The masked view that the reader gets is not there.
    ViewNotReady,
    /// Something failed here.
    Fault,
}

impl Refusal {
    /// The answer to send.
    pub fn response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        response.content_type("text/plain; charset=utf-8");
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if self.status() == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"refwarden\""));
        }
        if let Self::WrongMethod(allow) = self {
            response.insert_header((header::ALLOW, *allow));
        }
        response.body(self.text())
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::Token { basic: true, .. } => StatusCode::UNAUTHORIZED,
            Self::Token { basic: false, .. } | Self::Forbidden { .. } | Self::Unsupported => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Paused => StatusCode::REQUEST_TIMEOUT,
            Self::Unguarded(_) | Self::ServiceDown | Self::ServiceFault | Self::ViewNotReady => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Plain ASCII, in the words that hooks use too.
    fn text(&self) -> String {
        match self {
            Self::NoToken => line(
                Some(Code::NoToken),
                "no token came with the request",
                "send a token as the password, with any user name",
            ),
            Self::Token { code, title, .. } => line(*code, title, "get a new token and try again"),
            Self::Forbidden { code, title } => {
                line(*code, title, "ask an administrator for access")
            }
            Self::NotFound => line(None, "no such repository", "check the URL; it ends in .git"),
            Self::Unsupported => line(
                Some(Code::Unsupported),
                "only the smart HTTP protocol is served, for fetch and push",
                "use git 1.6.6 or newer",
            ),
            Self::WrongMethod(allow) => line(
                Some(Code::WrongMethod),
                &format!("this address is served with {allow} only"),
                "",
            ),
            Self::MediaType => line(None, "the body is not what git sends", ""),
            Self::Malformed => line(
                Some(Code::MalformedInput),
                "the body is not what git sends, or did not arrive whole",
                "try again; a program that is not git sends what gitprotocol-http(5) says",
            ),
            Self::TooLong => line(
                Some(Code::MalformedInput),
                "the body is longer than any that git sends",
                "fetch less at once",
            ),
            Self::Paused => line(None, "the body did not come in time", "try again"),
            Self::Unguarded(gap) => line(Some(gap.code()), &gap.to_string(), gap.hint()),
            Self::ServiceDown => line(
                Some(Code::ServiceUnreachable),
                "the approval service is unreachable, so nothing was started",
                "no ref has moved; try again in a minute, or tell an administrator",
            ),
            Self::ServiceFault => line(
                Some(Code::ServiceFault),
                "the approval service is at fault, so nothing was started",
                "no ref has moved; try again in a minute, or tell an administrator",
            ),
            Self::ViewNotReady => line(
                Some(Code::ViewNotReady),
                "the masked view that you read is being built or cannot be built",
                "try again in a minute; if it persists, tell an administrator",
            ),
            Self::Fault => line(
                None,
                "the proxy failed",
                "try again, or tell an administrator",
            ),
        }
    }
}

fn line(code: Option<Code>, text: &str, hint: &str) -> String {
    let code = code.map(|code| format!("{code} ")).unwrap_or_default();
    let text = escape(text.as_bytes());
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("hint:  {hint}\n")
    };
    format!("error: {code}{text}\n{hint}")
}

/// Who asked, for the log.
pub fn name(actor: Option<&ActorChain>) -> String {
    actor.map_or_else(|| "anonymous".to_owned(), ActorChain::describe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(basic: bool) -> Refusal {
        Refusal::Token {
            code: Some(Code::ExpiredToken),
            title: "the token has expired".into(),
            basic,
        }
    }

    #[test]
    fn a_refused_password_is_a_401_and_a_refused_bearer_a_403() {
        assert_eq!(token(true).response().status(), 401);
        assert_eq!(token(false).response().status(), 403);
        let asked = Refusal::NoToken.response();
        assert_eq!(
            asked.headers().get("www-authenticate").unwrap(),
            "Basic realm=\"refwarden\""
        );
    }

    #[test]
    fn bodies_are_plain_lines() {
        assert_eq!(
            token(true).text(),
            "error: RW103 the token has expired\nhint:  get a new token and try again\n"
        );
        let hostile = Refusal::Forbidden {
            code: None,
            title: "a\x1b[31m\nb".into(),
        };
        assert!(hostile.text().starts_with("error: a\\x1b[31m\\x0ab\n"));
    }
}
