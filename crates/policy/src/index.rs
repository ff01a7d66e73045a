//! Finds the few globs that a name may match, without trying all.

use std::collections::HashMap;

/// Texts by which names may begin, each with its place in the list it came from.
#[derive(Clone, Debug, Default)]
pub struct PrefixIndex {
    /// Every length that a prefix has, ascending. There are few: one look-up is made for each.
    lengths: Vec<usize>,
    places: HashMap<Vec<u8>, Vec<usize>>,
}

impl PrefixIndex {
    /// Takes the prefixes of a list, in its order.
    pub fn new<'a>(prefixes: impl Iterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for (place, prefix) in prefixes.enumerate() {
            index.lengths.push(prefix.len());
            let places = index.places.entry(prefix.as_bytes().to_vec());
            places.or_default().push(place);
        }
        index.lengths.sort_unstable();
        index.lengths.dedup();
        index
    }

    /// Places of the prefixes that a name begins with, in no order.
    pub fn candidates<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        self.lengths
            .iter()
            .map_while(|&length| name.get(..length))
            .filter_map(|prefix| self.places.get(prefix))
            .flatten()
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_all_prefixes_of_a_name() {
        let index = PrefixIndex::new(["", "a/", "a/b", "b", "a/"].into_iter());
        for (name, expected) in [
            ("a/bc", vec![0, 1, 2, 4]),
            ("a/", vec![0, 1, 4]),
            ("", vec![0]),
            ("c", vec![0]),
        ] {
            let mut found: Vec<usize> = index.candidates(name.as_bytes()).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{name}");
        }
    }
}
