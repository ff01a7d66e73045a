//! A hook has refused a push by itself, before it could be judged: recorded all the same.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_wire::hook::{MaskedPush, RefusedIn};

use crate::db::events::{self, NewEvent};
use crate::db::{masked_pushes, packs, pushes, repositories};
use crate::error::AppError;
use crate::packs::StoredPack;

/// The longest text that is kept, in characters.
const TEXT_MAX: usize = 500;

/// Digits of a view's id that the event names.
const VIEW_SHOWN: usize = 12;

/// What a client has sent that reads a masked view.
#[derive(Clone, Copy)]
pub struct Came<'a> {
    /// The push.
    pub masked: &'a MaskedPush,
    /// Its pack, stored.
    pub pack: Option<&'a StoredPack>,
}

impl Came<'_> {
    /// In the words of the event, so that the log seals them.
    fn describe(&self) -> String {
        let view = self
            .masked
            .view
            .get(..VIEW_SHOWN)
            .unwrap_or(&self.masked.view);
        let view = refwarden_model::bytes::escape(view.as_bytes());
        match self.pack {
            Some(pack) => format!("; view {view}, the client's pack {}", pack.digest),
            None => format!("; view {view}, no pack"),
        }
    }
}

/// Records it, with what came through a view. The actor is the push's where there is one, else whom the token that came along
/// names, else nobody.
///
/// # Errors
/// [`AppError::NotFound`] for a repository that is not the host's, and what the database says.
pub fn refuse(
    conn: &mut PgConnection,
    host: &str,
    refused: &RefusedIn,
    came: Option<Came<'_>>,
    actor: Option<String>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    conn.transaction(|conn| {
        let id = refused.repository.0;
        let known = repositories::find(conn, id)?.filter(|known| known.host == host);
        let repository = known.ok_or_else(AppError::not_found)?;
        let pack = came.and_then(|it| it.pack);
        let locked = packs::lock(conn, pack.map(|pack| &*pack.digest))?;
        let push = pushes::lock(conn, host, id, &refused.correlation)?;
        let text: String = refused.text.chars().take(TEXT_MAX).collect();
        let address = refused.client_address.as_deref().unwrap_or("no address");
        let through = came.map(|it| it.describe()).unwrap_or_default();
        let event = NewEvent {
            kind: "push.refused",
            actor: push
                .as_ref()
                .map(super::actor_of)
                .or(actor)
                .unwrap_or_else(|| "unknown".to_owned()),
            push_id: push.map(|push| push.id),
            codes: vec![refused.code.to_string()],
            summary: format!("{text} ({} from {address}){through}", refused.transport),
            ..NewEvent::default()
        };
        // The row that names the pack names the event as well, which comes first therefore.
        let seq = events::append(conn, repository.id, now, vec![event])?;
        if let Some(Came { masked, pack }) = came {
            if let Some(pack) = pack {
                packs::insert(conn, &locked, pack, now)?;
            }
            let pack = pack.map(|pack| &*pack.digest);
            masked_pushes::insert_untranslated(conn, repository.id, seq, masked, pack)?;
        }
        Ok(())
    })
}
