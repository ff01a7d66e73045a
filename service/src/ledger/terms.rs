//! The background task that makes what questions find events by (`db::terms`), behind the log.
//!
//! Apart from the sequencer, so that the log does not stand still when this does; then questions take
//! longer, and their answers stay what they are.

use std::time::{Duration, Instant};

use actix_web::web::Data;

use crate::db::terms;
use crate::state::AppState;

/// Time between two looks for new leaves.
const LOOK: Duration = Duration::from_millis(500);
/// Time between two complaints about the same thing.
const COMPLAIN: Duration = Duration::from_mins(1);
/// Leaves at once.
const BATCH: i64 = 5000;

/// Starts the task. It ends with the process.
pub fn start(state: &Data<AppState>) {
    actix_web::rt::spawn(run(state.clone()));
}

async fn run(state: Data<AppState>) {
    let mut complained: Option<Instant> = None;
    loop {
        let made = state.db(|conn| Ok(terms::make(conn, BATCH)?)).await;
        let is_more = matches!(made, Ok(BATCH));
        if let Err(error) = made
            && complained.is_none_or(|last| last.elapsed() >= COMPLAIN)
        {
            complained = Some(Instant::now());
            tracing::error!(cause = %error, "events are not made ready for questions");
        }
        if !is_more {
            tokio::time::sleep(LOOK).await;
        }
    }
}
