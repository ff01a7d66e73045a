//! Answers the client as `git receive-pack` does (gitprotocol-pack(5), "Report Status";
//! gitprotocol-capabilities(5), "side-band").

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use refwarden_gitio::pktline::{Packet, encode};

use super::request::Request;
use crate::fault::Fault;
use crate::report;

/// Most data in one packet of `side-band-64k`, beside the number of its band.
const BAND_64K: usize = 65515;

/// The same of `side-band`.
const BAND: usize = 995;

/// Whoever has pushed.
pub struct Client<W> {
    out: W,
    /// Data in one packet; none where the client wants no bands.
    band: Option<usize>,
    wants_report: bool,
}

impl<W: Write> Client<W> {
    /// The client of that request.
    pub fn new(request: &Request, out: W) -> Self {
        let band = if request.has("side-band-64k") {
            Some(BAND_64K)
        } else {
            request.has("side-band").then_some(BAND)
        };
        Self {
            out,
            band,
            wants_report: request.has("report-status") || request.has("report-status-v2"),
        }
    }

    /// Words for people, at once. A client without bands does not hear them.
    pub fn say(&mut self, words: &[u8]) -> Result<(), Fault> {
        self.send(2, words)?;
        self.out.flush().map_err(gone)
    }

    /// Does something that takes its time, and says nothing at all so often meanwhile. A client
    /// that has gone away is noticed so, and what was done is for nothing.
    pub fn keeping<T>(
        &mut self,
        every: Duration,
        work: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault>
    where
        W: Send,
    {
        std::thread::scope(|scope| {
            let (working, ended) = mpsc::channel::<()>();
            let kept = scope.spawn(move || {
                while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    self.say(b"")?;
                }
                Ok(())
            });
            let done = work();
            drop(working);
            let kept = kept.join();
            kept.unwrap_or_else(|_| Err(Fault::hook("the client cannot be spoken to")))?;
            done
        })
    }

    /// What became of the refs, as packets.
    pub fn report(&mut self, packets: &[u8]) -> Result<(), Fault> {
        if !self.wants_report {
            return Ok(());
        }
        if self.band.is_none() {
            return self.out.write_all(packets).map_err(gone);
        }
        self.send(1, packets)
    }

    /// Tells that nothing was taken, and why.
    pub fn refuse(&mut self, fault: &Fault, request: &Request) -> Result<(), Fault> {
        self.say(report::render(fault).as_bytes())?;
        if request.is_signed {
            return Ok(());
        }
        let mut packets = Vec::new();
        let mut line = |bytes: &[u8]| encode(Packet::Data(bytes), &mut packets).map_err(wrong);
        line(b"unpack ok\n")?;
        for command in &request.commands {
            let name = command.name.as_bytes();
            line(&[b"ng ", name, b" pre-receive hook declined\n"].concat())?;
        }
        packets.extend_from_slice(b"0000");
        self.report(&packets)
    }

    /// Ends the answer.
    pub fn end(&mut self) -> Result<(), Fault> {
        if self.band.is_some() {
            self.out.write_all(b"0000").map_err(gone)?;
        }
        self.out.flush().map_err(gone)
    }

    fn send(&mut self, band: u8, bytes: &[u8]) -> Result<(), Fault> {
        let Some(most) = self.band else {
            return Ok(());
        };
        // Nothing to say is said too: it keeps the connection.
        let mut pieces = bytes.chunks(most).peekable();
        let none: &[u8] = b"";
        let first = pieces.peek().is_none().then_some(none);
        for piece in first.into_iter().chain(pieces) {
            let mut packet = Vec::with_capacity(piece.len() + 5);
            let data = [&[band], piece].concat();
            encode(Packet::Data(&data), &mut packet).map_err(wrong)?;
            self.out.write_all(&packet).map_err(gone)?;
        }
        Ok(())
    }
}

fn gone(_: std::io::Error) -> Fault {
    Fault::hook("the client has gone away")
}

fn wrong(_: refwarden_gitio::pktline::PktError) -> Fault {
    Fault::hook("an answer is too long for the client")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Condvar, Mutex};

    /// What a client has heard, and that it has.
    #[derive(Clone, Default)]
    struct Heard(Arc<(Mutex<Vec<u8>>, Condvar)>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.0.lock().unwrap().extend_from_slice(bytes);
            self.0.1.notify_all();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn request() -> Request {
        let zero = "0".repeat(40);
        let line = format!("{zero} {zero} refs/heads/a\0report-status side-band-64k");
        let mut bytes = Vec::new();
        encode(Packet::Data(line.as_bytes()), &mut bytes).unwrap();
        bytes.extend_from_slice(b"0000");
        Request::read(&mut bytes.as_slice()).unwrap()
    }

    #[test]
    fn while_work_lasts_the_client_hears_that_it_does() {
        let heard = Heard::default();
        let mut client = Client::new(&request(), heard.clone());
        let worked = client.keeping(Duration::from_millis(1), || {
            let (bytes, more) = &*heard.0;
            let bytes = bytes.lock().unwrap();
            let bytes = more.wait_while(bytes, |it| it.len() < 15).unwrap();
            assert!(bytes.starts_with(b"0005\x020005\x020005\x02"));
            Ok(7)
        });
        assert_eq!(worked.unwrap(), 7);
    }
}
