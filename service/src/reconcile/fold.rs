//! The state of a repository after an event: the fold of its baseline, of the moves that were
//! committed and of those that happened out of band.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::{ByteText, Oid};
use refwarden_wire::api::ReplayRef;
use refwarden_wire::reconcile::{Change, Gap};
use uuid::Uuid;

use crate::db::events::{self, Event};
use crate::db::reconcile::{self, OutOfBand};
use crate::db::repositories::{self, Baseline};
use crate::error::AppError;

/// What stands before the target of a symbolic ref.
const SYMBOLIC: &[u8] = b"ref: ";

/// A repository after an event.
pub struct State {
    /// When its last move was recorded.
    pub at: DateTime<Utc>,
    /// What HEAD names: a ref, or an object id.
    pub head: ByteText,
    /// Every ref: an object id, or `ref: <target>`.
    pub refs: BTreeMap<ByteText, ByteText>,
    /// The pack of the baseline and those of moves out of band, oldest first.
    pub packs: Vec<String>,
    /// Pushes whose objects entered the repository, oldest first.
    pub released: Vec<Uuid>,
    /// Moves that nobody recorded and that are not reported yet.
    pub gaps: Vec<Gap>,
}

/// Folds the ledger of a repository up to and including an event; none when the repository was
/// not under guard by then.
///
/// # Errors
/// What the database says, and [`AppError::Internal`] for records that cannot be read.
pub fn fold(
    conn: &mut PgConnection,
    repository: Uuid,
    seq: i64,
) -> Result<Option<State>, AppError> {
    let Some(baseline) = repositories::baseline_at(conn, repository, seq)? else {
        return Ok(None);
    };
    let kinds = ["push.released", "ref.committed", "ref.out_of_band"];
    let moves = events::of_kinds(conn, repository, &kinds, baseline.seq, seq)?;
    let found = reconcile::out_of_band(conn, repository, baseline.seq, seq)?;
    let reported: HashSet<i64> = found.iter().filter_map(|row| row.before_seq).collect();
    let mut found: BTreeMap<i64, OutOfBand> = found.into_iter().map(|row| (row.seq, row)).collect();
    let mut state = State {
        at: moves
            .last()
            .map_or(baseline.recorded_at, |event| event.recorded_at),
        head: ByteText::new(baseline.head.clone()),
        refs: baseline_refs(&baseline)?,
        packs: baseline.pack_digest.into_iter().collect(),
        released: Vec::new(),
        gaps: Vec::new(),
    };
    for event in moves {
        match event.kind.as_str() {
            // Its objects entered the repository, even if a ref then did not move.
            "push.released" => state.released.extend(event.push_id),
            "ref.out_of_band" => {
                if let Some(row) = found.remove(&event.seq) {
                    state.apply_out_of_band(row);
                }
            }
            _ => state.apply_committed(&event, reported.contains(&event.seq))?,
        }
    }
    Ok(Some(state))
}

impl State {
    /// The refs as a list.
    pub fn into_refs(self) -> Vec<ReplayRef> {
        let pairs = self.refs.into_iter();
        pairs
            .map(|(name, value)| ReplayRef { name, value })
            .collect()
    }

    fn apply_committed(&mut self, event: &Event, is_reported: bool) -> Result<(), AppError> {
        let (Some(name), Some(old), Some(new)) = (&event.ref_name, &event.old_oid, &event.new_oid)
        else {
            return Ok(());
        };
        let name = ByteText::new(name.as_slice());
        let (old, new) = (value(old)?, value(new)?);
        let known = self.refs.get(&name);
        if known != old.as_ref() && !is_reported {
            self.gaps.push(Gap {
                before: event.seq,
                change: Change {
                    name: name.clone(),
                    old: known.cloned(),
                    new: old,
                },
            });
        }
        match new {
            None => self.refs.remove(&name),
            Some(new) => self.refs.insert(name, new),
        };
        Ok(())
    }

    fn apply_out_of_band(&mut self, row: OutOfBand) {
        self.packs.extend(row.pack_digest);
        if row.before_seq.is_some() {
            return;
        }
        let new = row.new_value.map(ByteText::new);
        if row.name == b"HEAD" {
            if let Some(new) = new {
                let target = new.as_bytes().strip_prefix(SYMBOLIC);
                self.head = target.map_or_else(|| new.clone(), ByteText::new);
            }
            return;
        }
        let name = ByteText::new(row.name);
        match new {
            None => self.refs.remove(&name),
            Some(new) => self.refs.insert(name, new),
        };
    }
}

/// The value that an object id stands for; none for the zero id.
fn value(oid: &str) -> Result<Option<ByteText>, AppError> {
    let parsed: Oid = oid.parse().map_err(AppError::internal)?;
    Ok((!parsed.is_zero()).then(|| ByteText::from(oid)))
}

fn baseline_refs(baseline: &Baseline) -> Result<BTreeMap<ByteText, ByteText>, AppError> {
    let refs: Vec<ReplayRef> =
        serde_json::from_value(baseline.refs.clone()).map_err(AppError::internal)?;
    Ok(refs.into_iter().map(|one| (one.name, one.value)).collect())
}
