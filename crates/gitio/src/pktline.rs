//! pkt-lines (gitprotocol-common(5)): four hexadecimal digits of length, then data.

/// Longest data of one packet, in bytes.
pub const MAX_DATA: usize = 65516;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0000`: end of a message.
    Flush,
    /// `0001`: end of a section (protocol version 2).
    Delimiter,
    /// `0002`: end of a response (protocol version 2, stateless).
    ResponseEnd,
    /// Data, possibly empty.
    Data(&'a [u8]),
}

/// Why bytes are no pkt-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PktError {
    /// The length is not four hexadecimal digits, or is 3.
    #[error("a packet's length is not valid")]
    Length,
    /// The data is longer than [`MAX_DATA`].
    #[error("a packet is longer than 65520 bytes")]
    TooLong,
}

/// Takes one packet off the front of `bytes`; answers it and how many bytes it took, or none
/// when more bytes are needed.
pub fn decode(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, PktError> {
    let Some(digits) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    match length(*digits)? {
        0 => Ok(Some((Packet::Flush, 4))),
        1 => Ok(Some((Packet::Delimiter, 4))),
        2 => Ok(Some((Packet::ResponseEnd, 4))),
        length => Ok(bytes
            .get(4..length)
            .map(|data| (Packet::Data(data), length))),
    }
}

/// How long the packet is that begins with these digits, which count: 0 to 2 for those without
/// data, 4 to 65520 otherwise.
pub fn length(digits: [u8; 4]) -> Result<usize, PktError> {
    let mut raw = [0; 2];
    hex::decode_to_slice(digits, &mut raw).map_err(|_| PktError::Length)?;
    match usize::from(u16::from_be_bytes(raw)) {
        3 => Err(PktError::Length),
        length if length > MAX_DATA + 4 => Err(PktError::TooLong),
        length => Ok(length),
    }
}

/// Appends one packet to `out`.
pub fn encode(packet: Packet<'_>, out: &mut Vec<u8>) -> Result<(), PktError> {
    match packet {
        Packet::Flush => out.extend_from_slice(b"0000"),
        Packet::Delimiter => out.extend_from_slice(b"0001"),
        Packet::ResponseEnd => out.extend_from_slice(b"0002"),
        Packet::Data(data) if data.len() > MAX_DATA => return Err(PktError::TooLong),
        Packet::Data(data) => {
            out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
            out.extend_from_slice(data);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn special_packets_and_bad_lengths() {
        assert_eq!(decode(b"0000x"), Ok(Some((Packet::Flush, 4))));
        assert_eq!(decode(b"0001"), Ok(Some((Packet::Delimiter, 4))));
        assert_eq!(decode(b"0002"), Ok(Some((Packet::ResponseEnd, 4))));
        assert_eq!(decode(b"0004"), Ok(Some((Packet::Data(b""), 4))));
        assert_eq!(decode(b"0006a\n"), Ok(Some((Packet::Data(b"a\n"), 6))));
        assert_eq!(decode(b"0006a"), Ok(None));
        assert_eq!(decode(b"00"), Ok(None));
        assert_eq!(decode(b"0003"), Err(PktError::Length));
        assert_eq!(decode(b"zzzz"), Err(PktError::Length));
        assert_eq!(decode(b"fff1"), Err(PktError::TooLong));
        let long = vec![0; MAX_DATA + 1];
        let refused = encode(Packet::Data(&long), &mut Vec::new());
        assert_eq!(refused, Err(PktError::TooLong));
    }

    proptest! {
        #[test]
        fn data_round_trips(data in proptest::collection::vec(any::<u8>(), 0..70), rest in any::<u8>()) {
            let mut out = Vec::new();
            encode(Packet::Data(&data), &mut out).unwrap();
            let length = out.len();
            out.push(rest);
            prop_assert_eq!(decode(&out), Ok(Some((Packet::Data(&data), length))));
        }

        #[test]
        fn any_bytes_decode_without_panic(data in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = decode(&data);
        }
    }
}
