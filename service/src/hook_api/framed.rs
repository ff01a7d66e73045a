//! Framed bodies: a JSON head in memory, a pack streamed into the store.

use actix_web::web::Payload;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use refwarden_wire::hook::MAX_JSON;
use serde::de::DeserializeOwned;

use crate::error::AppError;
use crate::packs::{PackStore, StoredPack};

/// Reads a framed body. `expected` says how long the pack must be, where the head tells.
///
/// # Errors
/// [`AppError::BadRequest`] for a body that ends early or does not fit its head;
/// [`AppError::Internal`] when the pack cannot be stored.
pub async fn read<T: DeserializeOwned>(
    mut body: Payload,
    store: &PackStore,
    expected: impl Fn(&T) -> Option<u64>,
) -> Result<(T, Option<StoredPack>), AppError> {
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
    let mut writer = None;
    let mut chunk = Some(buffer.freeze());
    while let Some(bytes) = chunk {
        if !bytes.is_empty() {
            if writer.is_none() {
                writer = Some(store.writer().map_err(AppError::internal)?);
            }
            if let Some(writer) = &mut writer {
                writer.write(&bytes).map_err(AppError::internal)?;
            }
        }
        chunk = next(&mut body).await?;
    }
    let received = writer.as_ref().map_or(0, crate::packs::PackWriter::bytes);
    if expected(&head).is_some_and(|expected| expected != received) {
        return Err(AppError::bad_request(
            "The pack is not as long as the head says.",
        ));
    }
    let pack = match writer {
        None => None,
        Some(writer) => {
            let stored = actix_web::web::block(move || writer.finish()).await?;
            Some(stored.map_err(AppError::internal)?)
        }
    };
    Ok((head, pack))
}

async fn next(body: &mut Payload) -> Result<Option<Bytes>, AppError> {
    let chunk = body.next().await.transpose();
    chunk.map_err(|error| AppError::bad_request(format!("The body broke off: {error}")))
}

fn short() -> AppError {
    AppError::bad_request("The body is shorter than its head says.")
}
