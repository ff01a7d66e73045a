//! Carries a request body to git's standard input.

use std::time::Duration;

use actix_web::web::Payload;
use bytes::Bytes;
use futures_util::StreamExt as _;
use refwarden_gitio::pktline::PktError;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::time::timeout;

use crate::framing::Framing;
use crate::inflate::Inflate;
use crate::refusal::Refusal;

/// How long a client may pause within a body.
const PAUSE: Duration = Duration::from_mins(2);

/// Why a body did not arrive whole. Whoever reads it must stop git *before* its standard input
/// is closed: a body that is cut between two packets looks whole to git.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client went away or broke the rules of HTTP.
    #[error("the client broke off: {0}")]
    Broken(#[from] actix_web::error::PayloadError),
    /// The client paused for too long.
    #[error("the client paused for too long")]
    Paused,
    /// The body is not what its coding says.
    #[error("the body cannot be inflated: {0}")]
    Coding(std::io::Error),
    /// The body is longer than the operation allows.
    #[error("the body is too long")]
    TooLong,
    /// The body is not what git sends.
    #[error("the body is no request of git: {0}")]
    Framing(#[from] PktError),
    /// The body ends within a packet, or before all that a push has to say.
    #[error("the body is no request of git: it ends too early")]
    Cut,
}

impl BodyError {
    /// What the client is told, where it still listens.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Broken(_) | Self::Coding(_) | Self::Framing(_) | Self::Cut => Refusal::Malformed,
            Self::Paused => Refusal::Paused,
            Self::TooLong => Refusal::TooLong,
        }
    }
}

/// Copies the body, with no more than a chunk of it in memory, and hands standard input back so
/// that the caller decides when git sees its end. When git stops reading, the rest is read and
/// thrown away, since a client that still sends does not listen.
pub async fn carry(
    mut payload: Payload,
    mut inflate: Inflate,
    limit: u64,
    framing: Framing,
    stdin: &mut ChildStdin,
) -> Result<(), BodyError> {
    let mut sink = Sink {
        framing,
        stdin,
        left: limit,
        open: true,
    };
    loop {
        let next = timeout(PAUSE, payload.next()).await;
        let Some(chunk) = next.map_err(|_| BodyError::Paused)? else {
            break;
        };
        let chunk: Bytes = chunk?;
        if matches!(inflate, Inflate::Identity) {
            sink.write(&chunk).await?;
            continue;
        }
        let mut rest = chunk.as_ref();
        while !rest.is_empty() {
            let (taken, output) = inflate.step(rest).map_err(BodyError::Coding)?;
            if taken == 0 && output.is_empty() {
                // Bytes after the end of the gzip stream.
                let error = std::io::ErrorKind::InvalidData.into();
                return Err(BodyError::Coding(error));
            }
            sink.write(&output).await?;
            rest = rest.get(taken..).unwrap_or_default();
        }
    }
    let last = inflate.finish().map_err(BodyError::Coding)?;
    sink.write(&last).await?;
    sink.framing.is_whole().then_some(()).ok_or(BodyError::Cut)
}

struct Sink<'a> {
    framing: Framing,
    stdin: &'a mut ChildStdin,
    left: u64,
    open: bool,
}

impl Sink<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or(BodyError::TooLong)?;
        self.framing.pass(bytes)?;
        if self.open && self.stdin.write_all(bytes).await.is_err() {
            self.open = false;
        }
        Ok(())
    }
}
