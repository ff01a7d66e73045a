//! Undoes `Content-Encoding: gzip` of a request body in small steps, so that a few bytes that
//! stand for gigabytes never stand in memory.

use std::io::Write as _;

use flate2::write::GzDecoder;

/// A request body's decoder.
pub enum Inflate {
    /// The body is as it came.
    Identity,
    /// The body is gzip (RFC 1952).
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

impl Inflate {
    /// Chooses by the header's value. None for a coding that git does not use.
    pub fn for_coding(coding: Option<&str>) -> Option<Self> {
        match coding {
            None | Some("identity") => Some(Self::Identity),
            Some("gzip" | "x-gzip") => Some(Self::Gzip(Box::new(GzDecoder::new(Vec::new())))),
            Some(_) => None,
        }
    }

    /// Takes some of `input` and returns how much, with what came of it: at most 64 KiB.
    pub fn step(&mut self, input: &[u8]) -> std::io::Result<(usize, Vec<u8>)> {
        match self {
            Self::Identity => Ok((input.len(), input.to_vec())),
            Self::Gzip(decoder) => {
                let taken = decoder.write(input)?;
                Ok((taken, std::mem::take(decoder.get_mut())))
            }
        }
    }

    /// What is left after the last input. An unfinished gzip stream is an error.
    pub fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(Vec::new()),
            Self::Gzip(decoder) => decoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    #[test]
    fn a_bomb_comes_out_in_small_pieces() {
        let zeros = vec![0; 8 << 20];
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&zeros).unwrap();
        let bomb = encoder.finish().unwrap();
        let mut inflate = Inflate::for_coding(Some("gzip")).unwrap();
        let (mut rest, mut total) = (&bomb[..], 0);
        while !rest.is_empty() {
            let (taken, output) = inflate.step(rest).unwrap();
            assert!(output.len() <= 64 << 10, "{}", output.len());
            assert!(taken > 0 || !output.is_empty());
            total += output.len();
            rest = &rest[taken..];
        }
        total += inflate.finish().unwrap().len();
        assert_eq!(total, zeros.len());
    }

    #[test]
    fn a_cut_body_and_other_codings_are_refused() {
        let mut inflate = Inflate::for_coding(Some("gzip")).unwrap();
        inflate.step(&[0x1f, 0x8b, 8]).unwrap();
        assert!(inflate.finish().is_err());
        assert!(Inflate::for_coding(Some("br")).is_none());
        assert!(Inflate::for_coding(Some("gzip, gzip")).is_none());
    }
}
