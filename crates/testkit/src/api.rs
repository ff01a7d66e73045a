//! The API, with a bearer token.

use std::time::Duration;

use refwarden_wire::api::{DecisionIn, EventOut, EventsOut, RequestOut};
use reqwest::blocking::{Client, Response};
use serde::de::DeserializeOwned;

use crate::planted;

/// A client of the API.
pub struct Api {
    client: Client,
    url: String,
    token: String,
}

impl Api {
    /// For the service at `service_url`, with a token.
    pub fn new(service_url: &str, token: &str) -> Self {
        let client = Client::builder()
            .timeout(Duration::from_mins(1))
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            url: format!("{service_url}/api/v1"),
            token: token.to_owned(),
        }
    }

    /// Gets a path below `/api/v1`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url));
        request.bearer_auth(&self.token).send().unwrap()
    }

    /// Gets a path below `/api/v1`, which must be there, as `T`.
    #[track_caller]
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.get(path);
        let status = response.status();
        let body = response.text().unwrap();
        planted::look(path, body.as_bytes());
        assert!(status.is_success(), "{path}: {status}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// A request, by its code.
    #[track_caller]
    pub fn request(&self, id: &str) -> RequestOut {
        self.read(&format!("/requests/{id}"))
    }

    /// Decides a request as it stands now; returns status and body.
    #[track_caller]
    pub fn decide(&self, id: &str, decision: &str, reason: &str) -> (u16, String) {
        let digest = self.request(id).digest;
        self.decide_digest(id, decision, reason, &digest)
    }

    /// Decides what `digest` names; returns status and body.
    #[track_caller]
    pub fn decide_digest(
        &self,
        id: &str,
        decision: &str,
        reason: &str,
        digest: &str,
    ) -> (u16, String) {
        let body = DecisionIn {
            decision: decision.to_owned(),
            reason: reason.to_owned(),
            digest: digest.to_owned(),
            answers: Vec::new(),
        };
        self.post(&format!("/requests/{id}/decisions"), &body)
    }

    /// Posts JSON to a path below `/api/v1`; returns status and body.
    #[track_caller]
    pub fn post(&self, path: &str, body: &impl serde::Serialize) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.url));
        let response = request.bearer_auth(&self.token).json(body).send().unwrap();
        let (status, body) = (response.status().as_u16(), response.text().unwrap());
        planted::look(path, body.as_bytes());
        (status, body)
    }

    /// All events of a repository, oldest first.
    #[track_caller]
    pub fn events(&self, repository: &str) -> Vec<EventOut> {
        let (mut events, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/events?repository={repository}&limit=200{after}");
            let page: EventsOut = self.read(&path);
            events.extend(page.events);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return events,
            }
        }
    }
}
