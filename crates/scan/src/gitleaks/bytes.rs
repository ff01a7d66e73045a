//! Sets of bytes.

use regex_syntax::hir::Class;

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) fn add(&mut self, first: u8, last: u8) {
        for byte in first..=last {
            if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
                *word |= 1 << (byte & 63);
            }
        }
    }

    pub(super) fn contains(self, byte: u8) -> bool {
        self.0
            .get(usize::from(byte >> 6))
            .is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    pub(super) fn union(self, other: Self) -> Self {
        let mut words = self.0;
        for (word, more) in words.iter_mut().zip(other.0) {
            *word |= more;
        }
        Self(words)
    }

    pub(super) fn of(byte: u8) -> Self {
        let mut set = Self::default();
        set.add(byte, byte);
        set
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |byte| self.contains(*byte))
    }

    /// First bytes of the members, and whether every member is one byte.
    pub(super) fn of_class(class: &Class) -> (Self, bool) {
        let mut set = Self::default();
        match class {
            Class::Bytes(class) => {
                for range in class.ranges() {
                    set.add(range.start(), range.end());
                }
                (set, true)
            }
            Class::Unicode(class) => {
                let mut narrow = true;
                for range in class.ranges() {
                    let (start, end) = (u32::from(range.start()), u32::from(range.end()));
                    if let Ok(start) = u8::try_from(start)
                        && start < 0x80
                    {
                        set.add(start, u8::try_from(end).unwrap_or(u8::MAX).min(0x7F));
                    }
                    if end >= 0x80 {
                        set.add(0x80, u8::MAX);
                        narrow = false;
                    }
                }
                (set, narrow)
            }
        }
    }
}
