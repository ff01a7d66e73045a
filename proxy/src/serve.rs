//! Answers requests: route, credential, repository, the service's leave, then git.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use refwarden_model::PushId;
use refwarden_view::serving::Shadow;
use refwarden_wire::fetch::{Errand, Session};
use refwarden_wire::hook::{AuthenticateIn, Operation, View};

use crate::authority::Authority;
use crate::body::{self, BodyError};
use crate::credential::Credential;
use crate::discovery::Service;
use crate::framing::Framing;
use crate::git::{self, Pusher};
use crate::inflate::Inflate;
use crate::process::{self, Input, Running};
use crate::refusal::{self, Refusal};
use crate::route::{self, NoRoute, Route, Step};
use crate::told::{Reader, Told};
use crate::view::Views;
use refwarden_gitio::served::{Root, Served};

/// Bytes that a fetch may say, inflated: about a million `have` lines.
const FETCH_BODY: u64 = 64 << 20;

/// What all requests share.
pub struct Proxy {
    /// Where the repositories are.
    pub root: Root,
    /// Who says what is allowed.
    pub authority: Authority,
    /// What the service says of itself.
    pub service: Service,
    /// Masked views, where the configuration says where to keep them.
    pub views: Option<Arc<Views>>,
    /// The program that records fetches, as git is told of it.
    pub recorder: String,
    /// Which refs readers were told of.
    pub told: Told,
}

/// Answers one request.
pub async fn handle(
    proxy: web::Data<Proxy>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let begun = Instant::now();
    let answer = match answer(&proxy, &request, payload).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(),
    };
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        status = answer.status().as_u16(),
        client = request.peer_addr().map(|it| it.ip().to_string()),
        milliseconds,
        "answered"
    );
    answer
}

async fn answer(
    proxy: &web::Data<Proxy>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let route = route::parse(request.method(), request.path(), request.query_string());
    let route = route.map_err(|no_route| match no_route {
        NoRoute::NotFound => Refusal::NotFound,
        NoRoute::Unsupported => Refusal::Unsupported,
        NoRoute::WrongMethod(allow) => Refusal::WrongMethod(allow),
    })?;
    let headers = request.headers();
    let credential = text(headers, &header::AUTHORIZATION).and_then(Credential::parse);
    if credential.is_none() && !proxy.authority.admits_anonymous(route.operation) {
        return Err(Refusal::NoToken);
    }
    if route.step == Step::Exchange && text(headers, &header::CONTENT_TYPE) != Some(sent(&route)) {
        return Err(Refusal::MediaType);
    }
    let inflate = Inflate::for_coding(text(headers, &header::CONTENT_ENCODING));
    let inflate = inflate.ok_or(Refusal::MediaType)?;
    let repository = open(proxy, &route).await?;
    let address = request.peer_addr().map(|it| it.ip().to_string());
    let agent = text(headers, &header::USER_AGENT).and_then(presentable_agent);
    let question = AuthenticateIn {
        repository: repository.id,
        operation: route.operation,
        client_address: address.clone(),
        client_agent: agent.map(ToOwned::to_owned),
        admits_anonymous: proxy.authority.admits_anonymous(route.operation),
    };
    let answer = proxy
        .authority
        .authenticate(credential.as_ref(), &question)
        .await?;
    guarded(&repository, route.operation)?;
    let push_id = PushId(uuid::Uuid::now_v7());
    let pusher = match (&credential, route.operation) {
        (Some(credential), Operation::Push) => Some(Pusher {
            token: credential.token(),
            push_id,
            address: address.as_deref(),
            agent,
        }),
        _ => None,
    };
    tracing::info!(
        repository = %repository.id,
        operation = ?route.operation,
        step = ?route.step,
        actor = refusal::name(answer.actor.as_ref()),
        push = pusher.as_ref().map(|it| it.push_id.to_string()),
        "admitted"
    );
    let protocol = text(headers, &header::HeaderName::from_static("git-protocol"))
        .and_then(|value| git::protocol(value, route.operation));
    let (mut command, shadow) = match &answer.view {
        View::Whole => {
            let directory = &repository.directory;
            let (operation, step) = (route.operation, route.step);
            let git = git::command(directory, operation, step, protocol, pusher.as_ref());
            (git, None)
        }
        View::Masked(view) => {
            let views = proxy.views.as_ref().ok_or_else(|| {
                tracing::error!("policy gives a masked view, and there is no [proxy.views]");
                Refusal::ViewNotReady
            })?;
            // What is pushed is compared with what the repository has now.
            let step = match route.operation {
                Operation::Fetch => route.step,
                Operation::Push => Step::Advertise,
            };
            let shadow = views.open(view, &repository, step).await?;
            tracing::info!(repository = %repository.id, view = shadow.view, "masked");
            let command = match (route.operation, route.step) {
                (Operation::Fetch, step) => git::shadow(&shadow.directory, step, protocol),
                (Operation::Push, Step::Advertise) => git::inbox(&shadow.directory, protocol),
                (Operation::Push, Step::Exchange) => {
                    let mut receiver = views.receiver(view, &repository, &shadow);
                    if let Some(pusher) = &pusher {
                        git::introduce(&mut receiver, pusher);
                    }
                    receiver
                }
            };
            (command, Some(shadow))
        }
    };
    let token_sha256 = credential.as_ref().map(Credential::sha256);
    let reader = (repository.id, token_sha256.clone(), address.clone());
    if (route.operation, route.step) == (Operation::Fetch, Step::Exchange) {
        let errand = Errand {
            gitdir: repository.directory.clone(),
            session: Session {
                repository: repository.id,
                transport: "http".to_owned(),
                client_address: address.clone(),
                client_agent: agent.map(ToOwned::to_owned),
                actor: answer.actor.clone(),
                token_sha256,
                policy: answer.policy.clone(),
                view: shadow.as_ref().map(Shadow::served),
                view_before: answer.view_before.clone(),
                refs: proxy.told.recall(&reader),
                keep: answer.keep,
            },
        };
        git::record(&mut command, &proxy.recorder, &errand).map_err(|error| fault(&error))?;
    }
    // Only who sees the repository itself hears its hooks; others get the words of `refwarden-receive`.
    let is_told_more =
        shadow.is_none() && (route.operation, route.step) == (Operation::Push, Step::Exchange);
    let (running, input) = process::start(command, shadow).map_err(|error| fault(&error))?;
    let preamble = match route.step {
        Step::Advertise => git::preamble(route.operation, protocol),
        Step::Exchange => b"",
    };
    actix_web::rt::spawn(feed(input, payload, inflate, (route.operation, route.step)));
    let listener = match route.operation {
        Operation::Fetch => Some((proxy.told.clone(), reader)),
        Operation::Push => None,
    };
    let preamble = Bytes::from_static(preamble);
    respond(&route, running, is_told_more, preamble, listener).await
}

/// Whether git would run the hooks that judge, and whether a fetch can be recorded. Asked once
/// the service has said that the client may know of the repository.
fn guarded(repository: &Served, operation: Operation) -> Result<(), Refusal> {
    let guarded = match operation {
        Operation::Fetch => repository.may_be_read(),
        Operation::Push => repository.may_be_pushed_to(),
    };
    guarded.map_err(|gap| {
        tracing::error!(repository = %repository.id, %gap, "not served: it is not guarded");
        Refusal::Unguarded(gap)
    })
}

async fn open(proxy: &web::Data<Proxy>, route: &Route) -> Result<Served, Refusal> {
    let (proxy, path) = (web::Data::clone(proxy), route.repository.clone());
    let opened = web::block(move || proxy.root.open(&path)).await;
    opened.map_err(|error| fault(&error))?.map_err(|error| {
        tracing::info!(%error, "repository not served");
        Refusal::NotFound
    })
}

/// Hands git the request's body. A body that does not arrive whole stops git first and closes
/// its standard input afterwards.
async fn feed(
    mut input: Input,
    payload: web::Payload,
    inflate: Inflate,
    (operation, step): (Operation, Step),
) {
    let limit = match operation {
        Operation::Fetch => FETCH_BODY,
        Operation::Push => u64::MAX,
    };
    // Who asks for refs sends nothing: there are no commands of a push that could be missing.
    let body = match step {
        Step::Advertise => Operation::Fetch,
        Step::Exchange => operation,
    };
    let framing = Framing::new(body, input.sideband.clone());
    match body::carry(payload, inflate, limit, framing, &mut input.stdin).await {
        Ok(()) => {
            if operation == Operation::Push {
                input.finishing.raise();
            }
        }
        Err(error) => {
            tracing::info!(%error, "a request did not arrive whole");
            let _ = input.abort.send(error);
            tokio::time::sleep(process::STOPPED).await;
        }
    }
}

/// Waits for git's first word, so that a git that fails at once is not answered with 200. The
/// client of a push is told more where it can be.
async fn respond(
    route: &Route,
    mut running: Running,
    is_told_more: bool,
    preamble: Bytes,
    listener: Option<(Told, Reader)>,
) -> Result<HttpResponse, Refusal> {
    let first = match running.next().await {
        Some(Ok(first)) => Some(first),
        Some(Err(error)) => return Err(broken(&error)),
        None => match running.failed().await {
            None => None,
            Some(failed) if failed.is_the_client_s() => return Err(Refusal::Malformed),
            // As git's own http-backend has it: 200, and what receive-pack printed.
            Some(failed) if is_told_more => failed.last_words(),
            Some(_) => return Err(fault(&"git failed without a word")),
        },
    };
    let preamble = Some(Ok(preamble))
        .filter(|it: &Result<Bytes, _>| it.as_ref().is_ok_and(|it| !it.is_empty()));
    let rest = if is_told_more {
        to_the_end(running).left_stream()
    } else {
        running.right_stream()
    };
    let answer = stream::iter(first.map(Ok)).chain(rest);
    let answer = match listener {
        Some((told, reader)) => told.listen(answer, reader).left_stream(),
        None => answer.right_stream(),
    };
    Ok(HttpResponse::Ok()
        .content_type(received(route))
        .insert_header((
            header::CACHE_CONTROL,
            "no-cache, max-age=0, must-revalidate",
        ))
        .insert_header((header::PRAGMA, "no-cache"))
        .streaming(stream::iter(preamble).chain(answer)))
}

/// What git prints and, where it fails after that, why.
fn to_the_end(running: Running) -> impl Stream<Item = std::io::Result<Bytes>> + Unpin {
    Box::pin(stream::unfold(Some(running), async |running| {
        let mut running = running?;
        if let Some(next) = running.next().await {
            return Some((next, Some(running)));
        }
        let words = running.failed().await?.last_words()?;
        Some((Ok(words), None))
    }))
}

/// Why git's output ended before git did.
fn broken(error: &std::io::Error) -> Refusal {
    let body = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<BodyError>());
    body.map_or_else(|| fault(error), BodyError::refusal)
}

fn sent(route: &Route) -> &'static str {
    match route.operation {
        Operation::Fetch => "application/x-git-upload-pack-request",
        Operation::Push => "application/x-git-receive-pack-request",
    }
}

fn received(route: &Route) -> &'static str {
    match (route.operation, route.step) {
        (Operation::Fetch, Step::Advertise) => "application/x-git-upload-pack-advertisement",
        (Operation::Fetch, Step::Exchange) => "application/x-git-upload-pack-result",
        (Operation::Push, Step::Advertise) => "application/x-git-receive-pack-advertisement",
        (Operation::Push, Step::Exchange) => "application/x-git-receive-pack-result",
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An agent string that may go into an environment and a record.
fn presentable_agent(agent: &str) -> Option<&str> {
    (agent.len() <= 256).then_some(agent)
}

fn fault(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "a request could not be served");
    Refusal::Fault
}
