//! Speaks to the approval service.
//!
//! Times: one second to connect; `timeout_ms` of the configuration, at most five seconds, for an
//! answer. A pack gets a second more for each 4 MiB, so a large push may take its time but must
//! get on.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use refwarden_model::Code;
use refwarden_wire::Problem;
use refwarden_wire::hook::{FRAMED, PING, PUSHES, PushIn, PushOut, TOKEN_HEADER};
use reqwest::blocking::{Body, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::host::Host;

/// Longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 32 << 20;

/// Bytes that a pack must travel in a second at least, on to where the service keeps it included: half as
/// many as it allows for itself.
const PACK_BYTES_PER_SECOND: u64 = 2 << 20;

/// Packs up to this size are read before they are sent, in bytes.
const PACK_HELD_MAX: u64 = 1 << 20;

/// Time for a pack whose length is not known beforehand.
const UNKNOWN_PACK: Duration = Duration::from_mins(2);

/// The approval service, as seen by one hook.
pub struct Client {
    http: reqwest::blocking::Client,
    base: String,
    credential: HeaderValue,
    timeout: Duration,
    /// Milliseconds that were waited for rules and older reports, and are not waited again.
    spent: AtomicU64,
}

/// Why a call did not get its answer.
pub enum CallError {
    /// The service understood and said no (4xx): the same call will not do better later. A
    /// credential that is not accepted is no such answer, since that can be mended.
    Rejected(Fault),
    /// Anything else.
    Failed(Fault),
}

/// What became of a push that was sent.
pub enum Pushed {
    /// It is judged and recorded.
    Judged(PushOut),
    /// It was scanned with other rules than the policy names. Nothing is recorded.
    OtherRules,
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Rejected(fault) | CallError::Failed(fault) => fault,
        }
    }
}

impl Client {
    /// Prepares to speak; connects to nothing yet.
    pub fn new(host: &Host) -> Result<Self, Fault> {
        let base = host.config.service_url.trim_end_matches('/').to_owned();
        let mut builder = reqwest::blocking::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(1))
            .timeout(None);
        if base.starts_with("http://") {
            // Reading the system's certificates takes longer than the rest of a small push.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build();
        let credential = host.credential()?;
        let bearer = format!("Bearer {}", credential.expose_secret());
        let mut credential = HeaderValue::try_from(bearer)
            .map_err(|_| Fault::hook("the host credential is not one line of text"))?;
        credential.set_sensitive(true);
        Ok(Self {
            http: http.map_err(|_| Fault::hook("the HTTP client cannot be started"))?,
            base,
            credential,
            timeout: Duration::from_millis(host.config.timeout_ms.min(5000)),
            spent: AtomicU64::new(0),
        })
    }

    /// The same, which waits for an answer so long at most.
    pub fn within(mut self, limit: Duration) -> Self {
        self.timeout = self.timeout.min(limit);
        self
    }

    /// Posts a JSON body and reads a JSON answer.
    pub fn call<I: Serialize, O: DeserializeOwned>(
        &self,
        path: &str,
        body: &I,
    ) -> Result<O, CallError> {
        let body = serde_json::to_vec(body)
            .map_err(|_| CallError::Failed(Fault::hook("a message cannot be written")))?;
        let request = self.request(path).timeout(self.timeout);
        answer(request.header(CONTENT_TYPE, "application/json").body(body))
    }

    /// Gets a JSON answer. The time that it took is not waited again for the push itself.
    pub fn read<O: DeserializeOwned>(&self, path: &str) -> Result<O, CallError> {
        let begun = Instant::now();
        let request = self.http.get(format!("{}{path}", self.base));
        let request = request.header(AUTHORIZATION, self.credential.clone());
        let answer = answer(request.timeout(self.timeout));
        self.spend(begun.elapsed());
        answer
    }

    fn spend(&self, time: Duration) {
        let spent = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.spent.fetch_add(spent, Ordering::Relaxed);
    }

    /// Posts a JSON body on behalf of whoever holds the token, and reads a JSON answer.
    pub fn call_as<I: Serialize, O: DeserializeOwned>(
        &self,
        token: Option<&SecretString>,
        path: &str,
        body: &I,
    ) -> Result<O, CallError> {
        let request = self.request(path).timeout(self.timeout).json(body);
        answer(with_token(request, token))
    }

    /// Posts JSON as it stands, from the spool, and waits so long at most. The time is not waited
    /// again for the push itself, so that a service that hangs costs it no more than without a spool.
    pub fn call_spooled<O: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<O, CallError> {
        let begun = Instant::now();
        let request = self.request(path).timeout(self.timeout.min(limit));
        let answer = answer(request.header(CONTENT_TYPE, "application/json").body(body));
        self.spend(begun.elapsed());
        answer
    }

    /// Posts a JSON body to which there is no answer but that it was taken.
    pub fn tell<I: Serialize>(&self, path: &str, body: &I) -> Result<(), CallError> {
        self.tell_of(None, path, body)
    }

    /// The same, of whoever holds the token.
    pub fn tell_of<I: Serialize>(
        &self,
        token: Option<&SecretString>,
        path: &str,
        body: &I,
    ) -> Result<(), CallError> {
        let request = self.request(path).timeout(self.timeout).json(body);
        let request = with_token(request, token);
        done(request.send().map_err(|error| failed(&error))?)
    }

    /// Posts a framed body with a pack that is in memory or in a file.
    pub fn framed<O: DeserializeOwned>(
        &self,
        path: &str,
        json: &[u8],
        pack: Option<File>,
    ) -> Result<O, CallError> {
        answer(self.with_pack(path, json, pack)?)
    }

    /// Tells of something with a pack in a file, where nothing is answered.
    pub fn tell_of_pack<I: Serialize>(
        &self,
        token: Option<&SecretString>,
        path: &str,
        body: &I,
        pack: File,
    ) -> Result<(), CallError> {
        let wrong = |_| CallError::Failed(Fault::hook("a message cannot be written"));
        let json = serde_json::to_vec(body).map_err(wrong)?;
        let request = with_token(self.with_pack(path, &json, Some(pack))?, token);
        done(request.send().map_err(|error| failed(&error))?)
    }

    fn with_pack(
        &self,
        path: &str,
        json: &[u8],
        pack: Option<File>,
    ) -> Result<RequestBuilder, CallError> {
        let long = |_| CallError::Failed(Fault::hook("a message is too long"));
        let mut head = u32::try_from(json.len())
            .map_err(long)?
            .to_be_bytes()
            .to_vec();
        head.extend_from_slice(json);
        let bytes = pack.as_ref().and_then(|pack| pack.metadata().ok());
        let bytes = bytes.map_or(0, |found| found.len());
        let body = match pack {
            None => Body::from(head),
            Some(pack) => Body::new(std::io::Cursor::new(head).chain(pack)),
        };
        let more = UNKNOWN_PACK + Duration::from_secs(bytes / PACK_BYTES_PER_SECOND);
        let request = self.request(path).timeout(self.timeout + more);
        Ok(request.header(CONTENT_TYPE, FRAMED).body(body))
    }

    /// Posts a push with its packs: that in the terms of a view, where it came through one, and its own.
    pub fn push(
        &self,
        push: &PushIn,
        token: Option<&SecretString>,
        masked: Option<File>,
        pack: Option<Box<dyn Read + Send>>,
    ) -> Result<Pushed, Fault> {
        let json = serde_json::to_vec(push)
            .map_err(|_| Fault::hook("the facts of the push cannot be written"))?;
        let length = u32::try_from(json.len())
            .map_err(|_| Fault::unscanned("the push is too large to describe"))?;
        let mut head = length.to_be_bytes().to_vec();
        head.extend_from_slice(&json);
        let before = push.masked.as_ref().map_or(0, |masked| masked.pack_bytes);
        let more = match push.pack_bytes {
            Some(bytes) => Duration::from_secs((before + bytes) / PACK_BYTES_PER_SECOND),
            None => UNKNOWN_PACK + Duration::from_secs(before / PACK_BYTES_PER_SECOND),
        };
        let mut long = None;
        if let Some(masked) = masked {
            let mut masked = masked.take(before);
            if before <= PACK_HELD_MAX {
                let read = masked.read_to_end(&mut head);
                read.map_err(|_| Fault::unscanned("the pack cannot be read"))?;
            } else {
                long = Some(masked);
            }
        }
        let head_bytes = head.len() as u64 + long.as_ref().map_or(0, |_| before);
        let mut streams = long.is_some();
        let pack: Option<Box<dyn Read + Send>> = match (long, pack) {
            (None, pack) => pack,
            (Some(masked), None) => Some(Box::new(masked)),
            (Some(masked), Some(pack)) => Some(Box::new(masked.chain(pack))),
        };
        let body = match (pack, push.pack_bytes) {
            (None, _) => Body::from(head),
            (Some(pack), Some(bytes)) if !streams && bytes <= PACK_HELD_MAX => {
                let read = pack.take(bytes).read_to_end(&mut head);
                read.map_err(|_| Fault::unscanned("the pack cannot be read"))?;
                Body::from(head)
            }
            (Some(pack), Some(bytes)) => {
                streams = true;
                Body::sized(std::io::Cursor::new(head).chain(pack), head_bytes + bytes)
            }
            (Some(pack), None) => {
                streams = true;
                Body::new(std::io::Cursor::new(head).chain(pack))
            }
        };
        let spent = Duration::from_millis(self.spent.load(Ordering::Relaxed));
        let left = self.timeout.saturating_sub(spent);
        let request = self.request(PUSHES).timeout(left + more);
        let request = with_token(request, token);
        match answer(request.header(CONTENT_TYPE, FRAMED).body(body)) {
            Ok(answer) => Ok(Pushed::Judged(answer)),
            Err(CallError::Rejected(Fault::Own {
                code: Code::ScanFailed,
                ..
            })) => Ok(Pushed::OtherRules),
            // When the other side ends a stream, the client only says that it did. Why is
            // found out with a call that has no body.
            Err(CallError::Failed(fault)) if streams => Err(self.why(fault)),
            Err(error) => Err(error.into()),
        }
    }

    fn why(&self, otherwise: Fault) -> Fault {
        let ping = self.http.get(format!("{}{PING}", self.base));
        let ping = ping.header(AUTHORIZATION, self.credential.clone());
        match ping.timeout(Duration::from_secs(1)).send() {
            Ok(response) if response.status().is_success() => otherwise,
            Ok(response) => problem(response).into(),
            Err(error) => failed(&error).into(),
        }
    }

    fn request(&self, path: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base));
        request.header(AUTHORIZATION, self.credential.clone())
    }
}

/// What cannot travel in a header is no token; the service records that none came.
fn with_token(request: RequestBuilder, token: Option<&SecretString>) -> RequestBuilder {
    let value = token.and_then(|token| HeaderValue::try_from(token.expose_secret()).ok());
    match value {
        None => request,
        Some(mut value) => {
            value.set_sensitive(true);
            request.header(TOKEN_HEADER, value)
        }
    }
}

/// Nothing is answered.
fn done(response: Response) -> Result<(), CallError> {
    if response.status().is_success() {
        Ok(())
    } else {
        Err(problem(response))
    }
}

fn answer<O: DeserializeOwned>(request: RequestBuilder) -> Result<O, CallError> {
    let response = request.send().map_err(|error| failed(&error))?;
    if !response.status().is_success() {
        return Err(problem(response));
    }
    let body = read(response)?;
    serde_json::from_slice(&body).map_err(|_| {
        let text = "the approval service answered with something unexpected";
        CallError::Failed(Fault::new(Code::ServiceFault, text).hint(LATER))
    })
}

const LATER: &str = "nothing was changed; push again later, or tell an administrator";

fn read(response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    let read = response.take(ANSWER_MAX).read_to_end(&mut body);
    read.map_err(|_| {
        let text = "the approval service did not finish its answer";
        CallError::Failed(Fault::new(Code::ServiceSlow, text).hint(LATER))
    })?;
    Ok(body)
}

fn failed(error: &reqwest::Error) -> CallError {
    let fault = if error.is_connect() {
        Fault::new(
            Code::ServiceUnreachable,
            "the approval service cannot be reached",
        )
    } else if error.is_timeout() {
        Fault::new(
            Code::ServiceSlow,
            "the approval service did not answer in time",
        )
    } else {
        Fault::new(Code::ServiceUnreachable, "the approval service broke off")
    };
    CallError::Failed(fault.hint(LATER))
}

fn problem(response: Response) -> CallError {
    let status = response.status();
    let problem: Option<Problem> = read(response)
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok());
    let event = problem
        .as_ref()
        .map(|problem| format!(" (event {})", problem.event))
        .unwrap_or_default();
    let code = problem.as_ref().and_then(|problem| problem.code);
    // About whoever the token names, and not about this host.
    if let (Some(code), Some(problem)) = (
        code.filter(|code| code.is_of_identity() || *code == Code::NotReadable),
        &problem,
    ) {
        let text = problem.title.trim_end_matches('.');
        return CallError::Rejected(Fault::new(code, text));
    }
    let (code, text) = match status.as_u16() {
        401 | 403 => (
            Code::HostRefused,
            "the approval service does not accept this Git server",
        ),
        404 => (
            Code::UnknownRepository,
            "the approval service does not know this repository",
        ),
        503 => (
            code.unwrap_or(Code::ServiceFault),
            "the approval service cannot keep records now: its database or its pack store fails",
        ),
        _ => (
            code.unwrap_or(Code::ServiceFault),
            "the approval service is at fault",
        ),
    };
    let fault = Fault::new(code, format!("{text}{event}")).hint(LATER);
    let may_change = matches!(status.as_u16(), 401 | 403 | 408 | 429);
    if status.is_client_error() && !may_change {
        CallError::Rejected(fault)
    } else {
        CallError::Failed(fault)
    }
}
