//! All `gitleaks.toml` files of a ruleset on one text: what the scanner sees of this module.

use super::engine::Engine;
use super::run::Run;
use crate::finding::Finding;
use crate::secret::FingerprintKey;
use crate::stream::PIECE;
use crate::sweep::View;

/// Longest text that is taken in one view, in bytes: what is noted of a view grows with it.
const WHOLE_MAX: usize = 16 * 1024 * 1024;

/// One run a file.
#[derive(Debug)]
pub(crate) struct Foreign<'r>(Vec<Run<'r>>);

impl<'r> Foreign<'r> {
    pub(crate) fn new(engines: &'r [Engine], path: Option<&[u8]>, commit: Option<&str>) -> Self {
        let run = |engine| Run::new(engine, path, commit);
        Self(engines.iter().map(run).collect())
    }

    /// Takes all of the text, which costs less than views of it.
    pub(crate) fn take_whole(&mut self, bytes: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        let step = if bytes.len() <= WHOLE_MAX {
            bytes.len()
        } else {
            PIECE
        };
        let mut end = 0usize;
        loop {
            end = end.saturating_add(step).min(bytes.len());
            let last = end == bytes.len();
            self.sweep(View {
                bytes: bytes.get(..end).unwrap_or_default(),
                base: 0,
                last,
            });
            if last {
                return;
            }
        }
    }

    /// Takes the next view.
    pub(crate) fn sweep(&mut self, view: View<'_>) {
        for run in &mut self.0 {
            run.sweep(view);
        }
    }

    /// Bytes before the end of a view that the next one must still hold.
    pub(crate) fn retain(&self) -> usize {
        self.0.iter().map(Run::retain).max().unwrap_or(0)
    }

    /// Ends the text and yields all findings, in no order.
    pub(crate) fn finish(self, key: &FingerprintKey, comments: bool) -> Vec<Finding> {
        let runs = self.0.into_iter();
        runs.flat_map(|run| run.finish(key, comments)).collect()
    }
}
