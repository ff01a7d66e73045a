//! Names of objects and sums of packs (gitformat-pack(5); "hash-function transition" in git's
//! technical documentation for SHA-256).

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use refwarden_gitio::objects::Kind;
use refwarden_model::{ObjectFormat, Oid};

/// A sum over bytes that arrive in pieces.
pub(crate) struct Sum(Context, ObjectFormat);

impl Sum {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let algorithm = match format {
            ObjectFormat::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            ObjectFormat::Sha256 => &SHA256,
        };
        Self(Context::new(algorithm), format)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Oid {
        let digest = self.0.finish();
        // The digest is as long as the format says, so this cannot fail; zero names no object.
        Oid::from_raw(digest.as_ref()).unwrap_or(self.1.zero())
    }
}

/// The name of an object with this content.
pub fn object_id(format: ObjectFormat, kind: Kind, bytes: &[u8]) -> Oid {
    let mut sum = Sum::new(format);
    sum.update(format!("{} {}\0", kind.name(), bytes.len()).as_bytes());
    sum.update(bytes);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The empty tree's names are known to git without its being there.
    #[test]
    fn the_empty_tree_has_its_known_names() {
        for (format, expected) in [
            (
                ObjectFormat::Sha1,
                "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            ),
            (
                ObjectFormat::Sha256,
                "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
            ),
        ] {
            assert_eq!(object_id(format, Kind::Tree, b"").to_string(), expected);
        }
    }
}
