//! Counts lines while bytes pass by, so that a finding's place is known without keeping them.

/// A place in the input and the line it stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marker {
    /// Offset of this place.
    offset: u64,
    /// 1-based line of this place.
    line: u64,
    /// Offset of the first byte of that line.
    line_start: u64,
}

impl Marker {
    pub(crate) fn start() -> Self {
        Self {
            offset: 0,
            line: 1,
            line_start: 0,
        }
    }

    pub(crate) fn offset(self) -> u64 {
        self.offset
    }

    /// Moves over `bytes`, which start at this place.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        let mut newlines = memchr::memchr_iter(b'\n', bytes);
        if let Some(last) = newlines.next_back() {
            self.line += newlines.count() as u64 + 1;
            self.line_start = self.offset + last as u64 + 1;
        }
        self.offset += bytes.len() as u64;
    }

    /// 1-based line and column of this place.
    pub(crate) fn position(self) -> (u64, u64) {
        (self.line, self.offset - self.line_start + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_position() {
        let text = b"a\nbb\n\nccc";
        for cut in 0..=text.len() {
            let mut marker = Marker::start();
            marker.advance(&text[..cut]);
            marker.advance(&text[cut..]);
            assert_eq!(marker.position(), (4, 4), "cut at {cut}");
        }
    }
}
