//! Which request of the smart HTTP protocol (git's gitprotocol-http(5)) a URL is.
//!
//! Everything else is refused: the dumb protocol would serve any loose object, and
//! `upload-archive` serves hidden refs.

use actix_web::http::Method;
use refwarden_gitio::served::RepositoryPath;
use refwarden_wire::hook::Operation;

/// A request of a git client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The repository it is about.
    pub repository: RepositoryPath,
    /// Fetch or push.
    pub operation: Operation,
    /// Ref advertisement, or the exchange itself.
    pub step: Step,
}

/// One of the two requests that a fetch or push consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `GET …/info/refs?service=…`
    Advertise,
    /// `POST …/git-upload-pack` or `POST …/git-receive-pack`
    Exchange,
}

/// Why a URL leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// Nothing is here, or nothing that is served.
    NotFound,
    /// A dumb client, or a service that is not served.
    Unsupported,
    /// The path is served with this method only.
    WrongMethod(&'static str),
}

/// Parses method, path and query.
pub fn parse(method: &Method, path: &str, query: &str) -> Result<Route, NoRoute> {
    if let Some(repository) = path.strip_suffix("/info/refs") {
        let repository = repository_path(repository).ok_or(NoRoute::NotFound)?;
        if method != Method::GET {
            return Err(NoRoute::WrongMethod("GET"));
        }
        // Exactly this parameter and no other, as git sends it.
        let operation = query
            .strip_prefix("service=")
            .and_then(operation)
            .ok_or(NoRoute::Unsupported)?;
        return Ok(Route {
            repository,
            operation,
            step: Step::Advertise,
        });
    }
    let (repository, service) = path.rsplit_once('/').ok_or(NoRoute::NotFound)?;
    let repository = repository_path(repository).ok_or(NoRoute::NotFound)?;
    let operation = operation(service).ok_or(NoRoute::Unsupported)?;
    if method != Method::POST {
        return Err(NoRoute::WrongMethod("POST"));
    }
    Ok(Route {
        repository,
        operation,
        step: Step::Exchange,
    })
}

fn operation(service: &str) -> Option<Operation> {
    match service {
        "git-upload-pack" => Some(Operation::Fetch),
        "git-receive-pack" => Some(Operation::Push),
        _ => None,
    }
}

/// Decodes a path, component by component: an encoded slash is none.
fn repository_path(path: &str) -> Option<RepositoryPath> {
    let components = path.strip_prefix('/')?.split('/').map(percent_decode);
    let components: Vec<String> = components.collect::<Option<_>>()?;
    RepositoryPath::of(components.iter().map(String::as_str))
}

/// Decodes `%XX` (RFC 3986, section 2.1). None for a bad escape or bytes that are not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let digits = std::str::from_utf8(&digits).ok()?;
            decoded.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, url: &str, expected: Result<(&str, Operation, Step), NoRoute>) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let got = parse(&method.parse().unwrap(), path, query);
        let got = got.map(|route| {
            (
                route.repository.as_path().to_owned(),
                route.operation,
                route.step,
            )
        });
        let expected = expected.map(|(path, operation, step)| (path.into(), operation, step));
        assert_eq!(got, expected, "{method} {url}");
    }

    #[test]
    fn the_three_requests_of_the_smart_protocol_are_known() {
        use Operation::{Fetch, Push};
        use Step::{Advertise, Exchange};
        let get = "/a.git/info/refs?service=git-upload-pack";
        check("GET", get, Ok(("a.git", Fetch, Advertise)));
        let get = "/team/a%20b.git/info/refs?service=git-receive-pack";
        check("GET", get, Ok(("team/a b.git", Push, Advertise)));
        check(
            "POST",
            "/a.git/git-upload-pack",
            Ok(("a.git", Fetch, Exchange)),
        );
        check(
            "POST",
            "/a.git/git-receive-pack",
            Ok(("a.git", Push, Exchange)),
        );
    }

    #[test]
    fn dumb_clients_and_other_services_are_refused() {
        check("GET", "/a.git/info/refs", Err(NoRoute::Unsupported));
        for service in [
            "git-upload-archive",
            "git-upload-pack&x",
            "upload-pack",
            "%67it-upload-pack",
        ] {
            let url = format!("/a.git/info/refs?service={service}");
            check("GET", &url, Err(NoRoute::Unsupported));
        }
        check(
            "POST",
            "/a.git/git-upload-archive",
            Err(NoRoute::Unsupported),
        );
        check("GET", "/a.git/HEAD", Err(NoRoute::Unsupported));
        check("GET", "/a.git/objects/info/packs", Err(NoRoute::NotFound));
        check(
            "GET",
            "/a.git/git-upload-pack",
            Err(NoRoute::WrongMethod("POST")),
        );
        check(
            "POST",
            "/a.git/info/refs?service=git-upload-pack",
            Err(NoRoute::WrongMethod("GET")),
        );
    }

    #[test]
    fn no_path_leaves_the_root() {
        for path in [
            "/../a.git",
            "/x/../a.git",
            "/%2e%2e/a.git",
            "/..%2fa.git",
            "/x%2f..%2fa.git",
            "/x%5c..%5ca.git",
            "//etc/a.git",
            "/a%00.git",
            "/a%0a.git",
            "/.git",
            "/x/.git",
            "/a%zz.git",
            "/a%2.git",
            "/%ff.git",
            "/a",
            "",
        ] {
            check(
                "POST",
                &format!("{path}/git-upload-pack"),
                Err(NoRoute::NotFound),
            );
        }
    }
}
