//! Passes a pipe on to another and to a file, in the kernel: tee(2), splice(2). No byte of it comes
//! into this process, so that memory stays the same and a fetch is hardly slower for it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice, tee};

/// Bytes that a pipe may hold, where the system lets it (`/proc/sys/fs/pipe-max-size`).
const PIPE: usize = 1 << 20;

/// A pipe that is passed on while a file gets the same.
pub struct Tee<P> {
    from: P,
    /// None where there is no copy, or it could not be written to its end.
    copy: Option<Copy>,
}

impl<P: AsFd> Tee<P> {
    /// Takes the pipe's reading end, and the file that gets a copy.
    pub fn new(from: P, copy: Option<File>) -> Self {
        // A smaller one is slower and no worse.
        let _ = fcntl_setpipe_size(&from, PIPE);
        let copy = copy.and_then(|file| Copy::new(file).ok());
        Self { from, copy }
    }

    /// Passes everything on; how many bytes that was, and whether the copy is whole. The copy has
    /// each byte before the reader gets it, so that one that is stopped never says too little. A copy
    /// that cannot be written, such as on a full disk, holds up nothing.
    ///
    /// # Errors
    /// Where `to` is no pipe, or nobody reads it any more.
    pub fn run(mut self, to: impl AsFd) -> io::Result<(u64, bool)> {
        let _ = fcntl_setpipe_size(&to, PIPE);
        let mut bytes = 0;
        loop {
            let length = match self.copy.take() {
                Some(copy) => {
                    let (length, whole) = copy.take_some(&self.from)?;
                    self.copy = whole;
                    move_all(&self.from, &to, length)?;
                    length
                }
                None => again(|| move_some(&self.from, &to, PIPE))?,
            };
            if length == 0 {
                return Ok((bytes, self.copy.is_some()));
            }
            bytes += u64::try_from(length).unwrap_or_default();
        }
    }
}

/// A file that gets what waits in a pipe, by way of another pipe.
struct Copy {
    file: File,
    waits: io::PipeReader,
    enters: io::PipeWriter,
}

impl Copy {
    fn new(file: File) -> io::Result<Self> {
        let (waits, enters) = io::pipe()?;
        let _ = fcntl_setpipe_size(&enters, PIPE);
        Ok(Self {
            file,
            waits,
            enters,
        })
    }

    /// Copies what waits in a pipe and leaves it there: how many bytes, and the copy, if that many
    /// could be written.
    fn take_some(self, from: impl AsFd) -> io::Result<(usize, Option<Self>)> {
        let length = again(|| tee(&from, &self.enters, PIPE, SpliceFlags::empty()))?;
        let whole = move_all(&self.waits, &self.file, length).is_ok();
        Ok((length, whole.then_some(self)))
    }
}

/// Moves so many bytes.
fn move_all(from: impl AsFd, to: impl AsFd, mut length: usize) -> io::Result<()> {
    while length > 0 {
        match again(|| move_some(&from, &to, length))? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            moved => length = length.saturating_sub(moved),
        }
    }
    Ok(())
}

fn move_some(from: impl AsFd, to: impl AsFd, length: usize) -> rustix::io::Result<usize> {
    splice(from, None, to, None, length, SpliceFlags::empty())
}

fn again(call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(call)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// Passes `bytes` on; what came out, and what [`Tee::run`] said.
    fn passed(bytes: &[u8], copy: Option<File>) -> (Vec<u8>, io::Result<(u64, bool)>) {
        let (from, mut source) = io::pipe().unwrap();
        let (mut sink, to) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || source.write_all(bytes).unwrap());
            let out = scope.spawn(move || {
                let mut out = Vec::new();
                sink.read_to_end(&mut out).unwrap();
                out
            });
            let ended = Tee::new(from, copy).run(&to);
            drop(to);
            (out.join().unwrap(), ended)
        })
    }

    #[test]
    fn all_of_it_comes_out_and_into_the_copy() {
        let bytes: Vec<u8> = (0..5_000_003_u32).map(|n| n.to_le_bytes()[0]).collect();
        for length in [0, 1, 65_536, bytes.len()] {
            let bytes = &bytes[..length];
            let file = tempfile::NamedTempFile::new().unwrap();
            let (out, ended) = passed(bytes, Some(file.reopen().unwrap()));
            assert_eq!(ended.unwrap(), (length as u64, true));
            assert!(out == bytes);
            assert!(std::fs::read(file.path()).unwrap() == bytes);
            let (out, ended) = passed(bytes, None);
            assert_eq!(ended.unwrap(), (length as u64, false));
            assert!(out == bytes);
        }
    }

    #[test]
    fn a_copy_that_cannot_be_written_holds_up_nothing() {
        let bytes = vec![b'x'; 3 << 20];
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (out, ended) = passed(&bytes, Some(full));
        assert_eq!(ended.unwrap(), (bytes.len() as u64, false));
        assert!(out == bytes);
    }

    /// It waits for its reader while all that the reader can have is in the copy.
    #[test]
    fn the_copy_has_it_before_the_reader() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let copy = file.reopen().unwrap();
        let (from, mut source) = io::pipe().unwrap();
        let (mut sink, to) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || Tee::new(from, Some(copy)).run(&to));
            scope.spawn(move || source.write_all(&vec![b'x'; 5 << 20]));
            let mut some = vec![0; 4096];
            let mut read = 0;
            while read < 5 << 20 {
                read += sink.read(&mut some).unwrap() as u64;
                let copied = file.as_file().metadata().unwrap().len();
                assert!(copied >= read, "{copied} {read}");
            }
        });
    }

    #[test]
    fn where_nobody_reads_it_ends() {
        let (from, mut source) = io::pipe().unwrap();
        let (sink, to) = io::pipe().unwrap();
        drop(sink);
        source.write_all(b"PACK").unwrap();
        let ended = Tee::new(from, None).run(&to);
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
