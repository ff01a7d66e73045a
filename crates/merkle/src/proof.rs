//! Proofs that a leaf is in a tree, and that a tree is the beginning of another.
//!
//! Made as RFC 6962, sections 2.1.1 and 2.1.2, defines them; checked by the algorithms of RFC
//! 9162, sections 2.1.3.2 and 2.1.4.2, which need no more than the proof.

use crate::Hash;

/// Where the roots of complete subtrees come from.
pub trait Subtrees {
    /// What reading fails with.
    type Error;

    /// The root of the complete subtree over leaves `index << level` to `(index + 1) << level`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over leaves `from..to`. `from` must be a multiple of the smallest power of two that
/// is not less than `to - from`, as it is for every subtree of a tree.
fn range<S: Subtrees>(source: &mut S, from: u64, to: u64) -> Result<Hash, S::Error> {
    let width = to - from;
    if width == 0 {
        return Ok(Hash::of_nothing());
    }
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return source.subtree(level, from >> level);
    }
    let middle = from + split(width);
    let left = range(source, from, middle)?;
    Ok(Hash::of_node(left, range(source, middle, to)?))
}

/// The largest power of two below `width`, which is at least 2.
const fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// The root of a tree of `size` leaves.
///
/// # Errors
/// What the source fails with.
pub fn root_of<S: Subtrees>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    range(source, 0, size)
}

/// Proves that leaf `index` is in the tree of `size` leaves; none where it is not.
///
/// # Errors
/// What the source fails with.
pub fn inclusion_proof<S: Subtrees>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range(source, middle, to)?);
            to = middle;
        } else {
            path.push(range(source, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Proves that the tree of `old` leaves is the beginning of the tree of `new` leaves; none where
/// it cannot be, because `old` is larger.
///
/// # Errors
/// What the source fails with.
pub fn consistency_proof<S: Subtrees>(
    source: &mut S,
    old: u64,
    new: u64,
) -> Result<Option<Vec<Hash>>, S::Error> {
    if old > new {
        return Ok(None);
    }
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(Some(proof));
    }
    let (mut from, mut to, mut is_whole) = (0, new, true);
    loop {
        if old == to {
            if !is_whole {
                proof.push(range(source, from, to)?);
            }
            break;
        }
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range(source, middle, to)?);
            to = middle;
        } else {
            proof.push(range(source, from, middle)?);
            from = middle;
            is_whole = false;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Whether `proof` shows that `leaf` is number `index` of the tree of `size` leaves with that
/// root (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut here, mut last, mut hash) = (index, size - 1, leaf);
    for &sibling in proof {
        if last == 0 {
            return false;
        }
        if here & 1 == 1 || here == last {
            hash = Hash::of_node(sibling, hash);
            while here & 1 == 0 && here != 0 {
                here >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::of_node(hash, sibling);
        }
        here >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Whether `proof` shows that the tree of `old` leaves is the beginning of that of `new` leaves
/// (RFC 9162, section 2.1.4.2). The empty tree is the beginning of every tree.
pub fn verify_consistency(
    old: u64,
    old_root: Hash,
    new: u64,
    new_root: Hash,
    proof: &[Hash],
) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && old_root == Hash::of_nothing();
    }
    let first = old.is_power_of_two().then_some(old_root);
    let mut path = first.into_iter().chain(proof.iter().copied());
    let Some(first) = path.next() else {
        return false;
    };
    let (mut here, mut last) = (old - 1, new - 1);
    while here & 1 == 1 {
        here >>= 1;
        last >>= 1;
    }
    let (mut from_old, mut from_new) = (first, first);
    for hash in path {
        if last == 0 {
            return false;
        }
        if here & 1 == 1 || here == last {
            from_old = Hash::of_node(hash, from_old);
            from_new = Hash::of_node(hash, from_new);
            while here & 1 == 0 && here != 0 {
                here >>= 1;
                last >>= 1;
            }
        } else {
            from_new = Hash::of_node(from_new, hash);
        }
        here >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == old_root && from_new == new_root
}

/// The definitions of RFC 6962, section 2.1, word for word and slow: what all else is held to.
#[cfg(test)]
pub mod naive {
    use super::{Hash, Subtrees};

    pub fn leaves(count: u64) -> Vec<Hash> {
        (0..count)
            .map(|n| Hash::of_leaf(&n.to_be_bytes()))
            .collect()
    }

    fn k(n: usize) -> usize {
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        k
    }

    pub fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_nothing(),
            [one] => *one,
            more => {
                let (left, right) = more.split_at(k(more.len()));
                Hash::of_node(root(left), root(right))
            }
        }
    }

    pub fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = k(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut path, last) = if m < k {
            (path(m, left), root(right))
        } else {
            (path(m - k, right), root(left))
        };
        path.push(last);
        path
    }

    pub fn proof(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        subproof(m, leaves, true)
    }

    fn subproof(m: usize, leaves: &[Hash], complete: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if complete {
                Vec::new()
            } else {
                vec![root(leaves)]
            };
        }
        let k = k(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut proof, last) = if m <= k {
            (subproof(m, left, complete), root(right))
        } else {
            (subproof(m - k, right, false), root(left))
        };
        proof.push(last);
        proof
    }

    pub struct Source(pub Vec<Hash>);

    impl Subtrees for Source {
        type Error = ();

        fn subtree(&mut self, level: u32, index: u64) -> Result<Hash, ()> {
            let from = usize::try_from(index << level).map_err(|_| ())?;
            let to = from + (1_usize << level);
            self.0.get(from..to).map(root).ok_or(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naive::Source;
    use proptest::prelude::*;

    const MOST: u64 = 70;

    #[test]
    fn every_inclusion_proof_is_that_of_the_definition_and_holds() {
        for size in 0..=MOST {
            let leaves = naive::leaves(size);
            let root = naive::root(&leaves);
            let mut source = Source(leaves.clone());
            assert_eq!(root_of(&mut source, size), Ok(root));
            assert_eq!(inclusion_proof(&mut source, size, size), Ok(None));
            for (index, leaf) in (0..).zip(&leaves) {
                let proof = inclusion_proof(&mut source, index, size).unwrap().unwrap();
                assert_eq!(proof, naive::path(usize::try_from(index).unwrap(), &leaves));
                assert!(verify_inclusion(*leaf, index, size, &proof, root));
                assert!(!verify_inclusion(*leaf, index + 1, size, &proof, root));
                assert!(!verify_inclusion(root, index, size, &proof, root) || size == 1);
            }
        }
    }

    #[test]
    fn every_consistency_proof_is_that_of_the_definition_and_holds() {
        for new in 1..=MOST {
            let leaves = naive::leaves(new);
            let new_root = naive::root(&leaves);
            let mut source = Source(leaves.clone());
            for (m, old) in (1..=usize::try_from(new).unwrap()).zip(1..) {
                let old_root = naive::root(&leaves[..m]);
                let proof = consistency_proof(&mut source, old, new).unwrap().unwrap();
                assert_eq!(proof, naive::proof(m, &leaves), "{old} {new}");
                assert!(verify_consistency(old, old_root, new, new_root, &proof));
                let other = Hash::of_leaf(b"another");
                assert!(!verify_consistency(old, other, new, new_root, &proof));
                assert!(!verify_consistency(old, old_root, new, other, &proof));
            }
        }
    }

    proptest! {
        #[test]
        fn a_changed_proof_does_not_hold(size in 2u64..200, at in any::<prop::sample::Index>(),
                                         which in any::<prop::sample::Index>(), bit in 0usize..256) {
            let leaves = naive::leaves(size);
            let root = naive::root(&leaves);
            let index = at.index(leaves.len());
            let mut source = Source(leaves.clone());
            let number = u64::try_from(index).unwrap();
            let mut proof = inclusion_proof(&mut source, number, size).unwrap().unwrap();
            let which = which.index(proof.len());
            let mut bytes = *proof[which].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            proof[which] = Hash::new(bytes);
            prop_assert!(!verify_inclusion(leaves[index], number, size, &proof, root));
            proof.pop();
            prop_assert!(!verify_inclusion(leaves[index], number, size, &proof, root));
        }

        #[test]
        fn a_fork_has_no_consistency_proof(old in 1usize..60, more in 1usize..60,
                                           changed in any::<prop::sample::Index>()) {
            let leaves = naive::leaves(u64::try_from(old + more).unwrap());
            let mut forked = leaves.clone();
            forked[changed.index(old)] = Hash::of_leaf(b"forked");
            let (old_size, new_size) = (u64::try_from(old).unwrap(), u64::try_from(old + more).unwrap());
            let proof = consistency_proof(&mut Source(forked.clone()), old_size, new_size).unwrap().unwrap();
            prop_assert!(!verify_consistency(old_size, naive::root(&leaves[..old]), new_size,
                naive::root(&forked), &proof));
        }
    }
}
