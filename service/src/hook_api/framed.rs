//! Framed bodies: a JSON head in memory, a pack streamed into the store.

use actix_web::web::Payload;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::future::try_join;
use refwarden_wire::hook::MAX_JSON;
use serde::de::DeserializeOwned;

use crate::error::AppError;
use crate::packs::{PackStore, PackWriter, StoredPack};

/// What a push is told whose pack could not be put where packs are kept.
const AWAY: &str = "The pack store does not keep the pack. Nothing was changed; try again later.";

/// Reads a framed body. `expected` says how long the pack must be, where the head tells.
///
/// # Errors
/// [`AppError::BadRequest`] for a body that ends early or does not fit its head;
/// [`AppError::NotReady`] or [`AppError::Internal`] when the pack cannot be stored.
pub async fn read<T: DeserializeOwned>(
    body: Payload,
    store: &PackStore,
    expected: impl Fn(&T) -> Option<u64>,
) -> Result<(T, Option<StoredPack>), AppError> {
    let (head, packs) = read_both(body, store, |_| 0, expected).await?;
    Ok((head, packs.rest))
}

/// The packs of a body.
pub struct Packs {
    /// As many bytes as the head says.
    pub first: Option<StoredPack>,
    /// What follows.
    pub rest: Option<StoredPack>,
}

/// Reads a framed body with another pack before the one at its end, as long as `first` says.
///
/// # Errors
/// As for [`read`].
pub async fn read_both<T: DeserializeOwned>(
    mut body: Payload,
    store: &PackStore,
    first: impl Fn(&T) -> u64,
    expected: impl Fn(&T) -> Option<u64>,
) -> Result<(T, Packs), AppError> {
    let mut buffer = BytesMut::new();
    while buffer.len() < 4 {
        buffer.extend_from_slice(&next(&mut body).await?.ok_or_else(short)?);
    }
    let length = usize::try_from(buffer.get_u32()).map_err(|_| short())?;
    if length > MAX_JSON {
        return Err(AppError::bad_request("The head of the body is too long."));
    }
    while buffer.len() < length {
        buffer.extend_from_slice(&next(&mut body).await?.ok_or_else(short)?);
    }
    let head = buffer.split_to(length);
    let head: T = serde_json::from_slice(&head)
        .map_err(|error| AppError::bad_request(format!("The head of the body: {error}")))?;
    let mut left = first(&head);
    let (mut before, mut writer) = (None, None);
    let mut chunk = Some(buffer.freeze());
    while let Some(mut bytes) = chunk {
        let own = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let own = bytes.split_to(own);
        left -= own.len() as u64;
        write(&mut before, store, &own)?;
        write(&mut writer, store, &bytes)?;
        chunk = next(&mut body).await?;
    }
    if left > 0 {
        return Err(short());
    }
    let received = writer.as_ref().map_or(0, PackWriter::bytes);
    if expected(&head).is_some_and(|expected| expected != received) {
        return Err(AppError::bad_request(
            "The pack is not as long as the head says.",
        ));
    }
    // At once: where they are put elsewhere, a hook waits no longer for two than for one.
    let (first, rest) = try_join(finish(before, store), finish(writer, store)).await?;
    Ok((head, Packs { first, rest }))
}

fn write(writer: &mut Option<PackWriter>, store: &PackStore, bytes: &[u8]) -> Result<(), AppError> {
    if bytes.is_empty() {
        return Ok(());
    }
    if writer.is_none() {
        *writer = Some(store.writer().map_err(AppError::internal)?);
    }
    match writer {
        Some(writer) => writer.write(bytes).map_err(AppError::internal),
        None => Ok(()),
    }
}

async fn finish(
    writer: Option<PackWriter>,
    store: &PackStore,
) -> Result<Option<StoredPack>, AppError> {
    let Some(writer) = writer else {
        return Ok(None);
    };
    let stored = actix_web::web::block(move || writer.finish()).await?;
    stored.map(Some).map_err(|error| match store.elsewhere() {
        Some(_) => AppError::NotReady(AWAY, error.to_string()),
        None => AppError::internal(error),
    })
}

async fn next(body: &mut Payload) -> Result<Option<Bytes>, AppError> {
    let chunk = body.next().await.transpose();
    chunk.map_err(|error| AppError::bad_request(format!("The body broke off: {error}")))
}

fn short() -> AppError {
    AppError::bad_request("The body is shorter than its head says.")
}
