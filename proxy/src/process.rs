//! A running `git upload-pack` or `git receive-pack`, as the stream of what it prints.
//!
//! Dropping the stream, which actix-web does when the client goes away, stops git.

use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use refwarden_gitio::shadow::presentable;
use refwarden_view::serving::Shadow;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use crate::body::BodyError;
use crate::failed::Failed;

/// Bytes read at once. A pipe holds 64 KiB, and git's packets are at most as long.
const CHUNK: usize = 64 << 10;

/// Bytes of standard error that are logged; the rest is read and thrown away.
const LOGGED: u64 = 2048;

/// How long a push whose body arrived whole may go on without its client. Its refs then move
/// all or none, as they would over SSH; killing it might move some. A push that waits for people
/// has to be given up within 10 seconds, so it is less than that.
const FINISHING: Duration = Duration::from_secs(6);

/// Time between SIGTERM, on which git removes its lock files, and SIGKILL.
const STOPPING: Duration = Duration::from_secs(5);

/// How long a git that has ended may be heard.
const SAYING: Duration = Duration::from_millis(500);

/// What a running git prints.
pub struct Running {
    child: Option<Child>,
    output: Option<ReaderStream<ChildStdout>>,
    /// None once the body has arrived or the abort was seen.
    abort: Option<oneshot::Receiver<BodyError>>,
    /// What git says on standard error.
    said: JoinHandle<Vec<u8>>,
    finishing: Flag,
    sideband: Flag,
    /// What git reads from, where that has to be kept.
    kept: Option<Shadow>,
}

/// Something that is so from some moment on.
#[derive(Clone, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// From now on it is so.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is so.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the writer of git's input holds.
pub struct Input {
    /// git's standard input.
    pub stdin: ChildStdin,
    /// Ends the output with an error, and so stops git.
    pub abort: oneshot::Sender<BodyError>,
    /// Lets git finish when its client has gone.
    pub finishing: Flag,
    /// Whether the client of a push takes messages beside the report.
    pub sideband: Flag,
}

/// Time after which a git that was told to stop has stopped.
pub const STOPPED: Duration = Duration::from_secs(6);

/// Starts git. What is `kept` is let go when git has ended.
pub fn start(mut command: Command, kept: Option<Shadow>) -> std::io::Result<(Running, Input)> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()?;
    let missing = || std::io::Error::other("git started without its pipes");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let said = tokio::spawn(log(stderr));
    let (abort, aborted) = oneshot::channel();
    let (finishing, sideband) = (Flag::default(), Flag::default());
    let running = Running {
        child: Some(child),
        output: Some(ReaderStream::with_capacity(stdout, CHUNK)),
        abort: Some(aborted),
        said,
        finishing: finishing.clone(),
        sideband: sideband.clone(),
        kept,
    };
    let input = Input {
        stdin,
        abort,
        finishing,
        sideband,
    };
    Ok((running, input))
}

impl Running {
    /// Waits for git's exit; what it said, where it failed. Call when the output has ended. Asked
    /// again, it has nothing to tell.
    pub async fn failed(&mut self) -> Option<Failed> {
        let status = self.child.as_mut()?.wait().await;
        self.child = None;
        if status.is_ok_and(|status| status.success()) {
            return None;
        }
        // What git started may live on, and hold its standard error open.
        let said = timeout(SAYING, &mut self.said).await;
        let said = said.map(Result::unwrap_or_default).unwrap_or_default();
        Some(Failed {
            said,
            takes_messages: self.sideband.is_raised(),
        })
    }
}

impl Stream for Running {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(abort) = &mut self.abort
            && let Poll::Ready(aborted) = Pin::new(abort).poll(cx)
        {
            self.abort = None;
            if let Ok(error) = aborted {
                return Poll::Ready(Some(Err(std::io::Error::other(error))));
            }
        }
        match &mut self.output {
            Some(output) => output.poll_next_unpin(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else {
            return;
        };
        // Without a runtime, `kill_on_drop` does it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let output = self.output.take();
            let (kept, may_finish) = (self.kept.take(), self.finishing.is_raised());
            runtime.spawn(async move {
                stop(child, output, may_finish).await;
                drop(kept);
            });
        }
    }
}

async fn stop(mut child: Child, output: Option<ReaderStream<ChildStdout>>, may_finish: bool) {
    if may_finish {
        // Nobody listens, but git must not find its pipe closed while it works.
        let finished = async {
            if let Some(mut output) = output {
                while let Some(Ok(_)) = output.next().await {}
            }
            child.wait().await
        };
        if timeout(FINISHING, finished).await.is_ok() {
            return;
        }
    }
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // The child is not reaped before `wait`, so the id is still its own.
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(STOPPING, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Logs the beginning of what git says on standard error and answers it, and reads the rest so that
/// git never waits. Long words are left out but for object ids: a ref name can hold a secret.
async fn log(mut stderr: ChildStderr) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = (&mut stderr).take(LOGGED).read_to_end(&mut said).await;
    if !said.is_empty() {
        tracing::warn!(said = %presentable(&said), "git reports");
    }
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    fn run(script: &str) -> (Running, Input) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        start(command, None).unwrap()
    }

    fn on_runtime(future: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future);
    }

    #[test]
    fn output_streams_and_the_exit_is_known() {
        on_runtime(async {
            let (mut running, input) = run("cat; exit 3");
            drop(input);
            assert!(running.next().await.is_none());
            assert!(running.failed().await.is_some());
            assert!(running.failed().await.is_none());
        });
    }

    #[test]
    fn dropping_the_stream_ends_the_process() {
        on_runtime(async {
            let (running, mut input) = run("exec cat");
            let pid = running.child.as_ref().unwrap().id().unwrap();
            drop(running);
            let gone = || std::fs::metadata(format!("/proc/{pid}")).is_err();
            for _ in 0..1000 {
                if gone() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(gone());
            assert!(input.stdin.write_all(b"x").await.is_err());
        });
    }

    #[test]
    fn an_abort_ends_the_output_with_an_error() {
        on_runtime(async {
            let (mut running, input) = run("cat");
            input.abort.send(BodyError::Cut).unwrap();
            assert!(running.next().await.unwrap().is_err());
        });
    }
}
