//! Addresses that are there, asked with a method that they are not served with.

use refwarden_testkit::Repository;
use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::Value;

use crate::shared::stack;

fn ask(method: Method, url: &str, accept: &str) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, url).header("accept", accept);
    request.send().unwrap()
}

#[track_caller]
fn allows(answer: &Response, allow: &str) {
    assert_eq!(answer.status(), 405, "{answer:?}");
    assert_eq!(answer.headers()["allow"], allow, "{answer:?}");
}

#[test]
fn the_service_says_which_methods_there_are() {
    let url = &stack().started().service_url;
    for (method, path, allow) in [
        (Method::POST, "/api/v1/events", "GET"),
        (Method::DELETE, "/api/v1/grants", "GET, POST"),
        (Method::GET, "/api/v1/holds/1/release", "POST"),
        (Method::GET, "/hook/v1/pushes", "POST"),
        (Method::PUT, "/livez", "GET"),
        (Method::GET, "/oauth/token", "POST"),
        (Method::PATCH, "/r/8FZK2M0T", "GET"),
        (Method::GET, "/sign-out", "POST"),
    ] {
        let answer = ask(method, &format!("{url}{path}"), "*/*");
        allows(&answer, allow);
        let kind = &answer.headers()["content-type"];
        assert_eq!(kind, "application/problem+json", "{path}");
        let problem: Value = answer.json().unwrap();
        assert_eq!(problem["code"], "RW409", "{path}: {problem}");
        assert_eq!(problem["status"], 405, "{path}: {problem}");
    }
    // A browser reads a page.
    let page = ask(Method::POST, &format!("{url}/audit"), "text/html");
    allows(&page, "GET");
    assert!(page.text().unwrap().contains("<html"));
    let nowhere = ask(Method::POST, &format!("{url}/api/v1/nowhere"), "*/*");
    assert_eq!(nowhere.status(), 404);
    assert!(!nowhere.headers().contains_key("allow"));
}

#[test]
fn the_proxy_does_too() {
    let repository = Repository::guarded(stack(), "methods");
    let (proxy, url) = (&stack().started().proxy_url, repository.http_url());
    for (method, url, allow) in [
        (Method::POST, format!("{proxy}/livez"), "GET"),
        (Method::PUT, format!("{proxy}/.well-known/refwarden"), "GET"),
        (Method::GET, format!("{url}/git-upload-pack"), "POST"),
        (Method::PUT, format!("{url}/git-receive-pack"), "POST"),
        (
            Method::POST,
            format!("{url}/info/refs?service=git-upload-pack"),
            "GET",
        ),
    ] {
        let answer = ask(method, &url, "*/*");
        allows(&answer, allow);
        let text = answer.text().unwrap();
        assert!(text.contains("error: RW409"), "{url}: {text}");
    }
}
