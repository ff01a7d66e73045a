//! Issuers, each once: of two with one URL, nobody would know which counts. They are looked at table
//! by table, so that the second has a line.

use std::fmt;

use serde::Deserialize as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::Issuer;

/// Reads `[[issuer]]`.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Issuer>, D::Error> {
    deserializer.deserialize_seq(All)
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Vec<Issuer>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("issuers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut issuers = Vec::new();
        while let Some(issuer) = list.next_element_seed(Next(&issuers))? {
            issuers.push(issuer);
        }
        Ok(issuers)
    }
}

/// One that is none of these. What fails while its table is visited has the table's line.
struct Next<'a>(&'a [Issuer]);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = Issuer;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Issuer, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Next<'_> {
    type Value = Issuer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an issuer")
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Issuer, A::Error> {
        let issuer = Issuer::deserialize(MapAccessDeserializer::new(table))?;
        if self.0.iter().any(|known| known.url == issuer.url) {
            return Err(A::Error::custom(format!(
                "issuer {} is configured twice: expected each once",
                issuer.url
            )));
        }
        Ok(issuer)
    }
}
