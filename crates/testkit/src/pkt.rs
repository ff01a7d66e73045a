//! pkt-lines (git's gitprotocol-common(5)), written apart from the product's codec on purpose:
//! a test must not share its mistakes.

/// A flush packet.
pub const fn flush() -> &'static [u8] {
    b"0000"
}

/// A packet with a payload.
pub fn line(payload: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", payload.len() + 4).into_bytes();
    packet.extend_from_slice(payload);
    packet
}

/// Splits bytes into payloads; `None` stands for a flush. Stops at what is no packet.
pub fn packets(mut bytes: &[u8]) -> Vec<Option<&[u8]>> {
    let mut packets = Vec::new();
    while let Some(length) = bytes.get(..4).and_then(|it| std::str::from_utf8(it).ok()) {
        let Ok(length) = usize::from_str_radix(length, 16) else {
            break;
        };
        if length < 4 {
            packets.push(None);
            bytes = &bytes[4..];
            continue;
        }
        let Some(payload) = bytes.get(4..length) else {
            break;
        };
        packets.push(Some(payload));
        bytes = &bytes[length..];
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_round_trip() {
        let bytes = [&line(b"a\n")[..], flush(), &line(b"")].concat();
        assert_eq!(packets(&bytes), [Some(&b"a\n"[..]), None, Some(b"")]);
        assert_eq!(packets(b"0009ab"), []);
        assert_eq!(packets(b"zz"), []);
    }
}
