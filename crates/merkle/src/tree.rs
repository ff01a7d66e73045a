//! A tree that only grows: the roots of its complete subtrees, from the left, are all it keeps.

use crate::Hash;

/// A tree's size and what is needed to append to it: at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// One for each bit that is set in `size`, the largest subtree first.
    peaks: Vec<Hash>,
}

impl Tree {
    /// A tree without leaves.
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// A tree of `size` leaves from the roots of its complete subtrees, the largest first. None
    /// where their number does not fit the size.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (usize::try_from(size.count_ones()).ok()? == peaks.len()).then_some(Self { size, peaks })
    }

    /// Leaves in it.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf's hash at the end.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each one-bit at the end of the size is a subtree that becomes complete with its sibling.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = Hash::of_node(left, hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Its root (RFC 6962, section 2.1).
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else {
            return Hash::of_nothing();
        };
        peaks.fold(last, |right, left| Hash::of_node(left, right))
    }
}

impl Extend<Hash> for Tree {
    fn extend<T: IntoIterator<Item = Hash>>(&mut self, leaves: T) {
        for leaf in leaves {
            self.append(leaf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::naive;

    #[test]
    fn roots_are_those_of_the_definition() {
        let leaves = naive::leaves(130);
        let mut tree = Tree::new();
        assert_eq!(tree.root(), naive::root(&[]));
        for (index, leaf) in leaves.iter().enumerate() {
            tree.append(*leaf);
            assert_eq!(tree.root(), naive::root(&leaves[..=index]), "{}", index + 1);
        }
    }

    /// The roots for the empty tree and for one empty leaf are constants that everybody knows:
    /// SHA-256 of nothing and of one zero byte.
    #[test]
    fn the_smallest_trees_are_the_known_ones() {
        assert_eq!(
            Tree::new().root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let mut tree = Tree::new();
        tree.append(Hash::of_leaf(b""));
        assert_eq!(
            tree.root().to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }
}
