//! Waiting for Ctrl-C, SIGTERM or SIGHUP.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Context as _, Outcome};

/// Waits for a signal to stop, or until `ended` says something, looking every half second.
pub fn wait<T>(mut ended: impl FnMut() -> Option<T>) -> Outcome<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "signals cannot be awaited".to_owned())?;
    runtime.block_on(async {
        let listen = |kind| signal(kind).context(|| "signals cannot be awaited".to_owned());
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(None),
                _ = terminate.recv() => return Ok(None),
                _ = hangup.recv() => return Ok(None),
                _ = tick.tick() => if let Some(end) = ended() {
                    return Ok(Some(end));
                },
            }
        }
    })
}
