//! Objects by name and by number: each has the number of its place in the order of names.

use refwarden_gitio::objects::{Packs, Place};
use refwarden_model::Oid;

/// How many bytes of a name the fan-out tells apart, as a number of buckets.
const FAN: usize = 1 << 16;

/// Names, sorted, each once.
#[derive(Default)]
pub(super) struct Names {
    oids: Vec<Oid>,
    /// By the first two bytes: how many names have lower ones.
    fan: Vec<u32>,
}

impl Names {
    /// Takes them in any order.
    pub(super) fn new(mut oids: Vec<Oid>) -> Self {
        oids.sort_unstable();
        oids.dedup();
        let mut fan = vec![0; FAN + 1];
        for oid in &oids {
            if let Some(count) = fan.get_mut(bucket(*oid) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for count in &mut fan {
            sum += *count;
            *count = sum;
        }
        Self { oids, fan }
    }

    pub(super) fn len(&self) -> usize {
        self.oids.len()
    }

    pub(super) fn all(&self) -> &[Oid] {
        &self.oids
    }

    /// The number of a name.
    pub(super) fn find(&self, oid: Oid) -> Option<u32> {
        let at = bucket(oid);
        let from = *self.fan.get(at)? as usize;
        let to = *self.fan.get(at + 1)? as usize;
        let found = self.oids.get(from..to)?.binary_search(&oid).ok()?;
        u32::try_from(from + found).ok()
    }
}

fn bucket(oid: Oid) -> usize {
    match oid.raw() {
        [first, second, ..] => usize::from(*first) << 8 | usize::from(*second),
        _ => 0,
    }
}

/// Where in the packs an object of a number stands, and the other way round.
pub(super) struct Places {
    /// By number.
    places: Vec<Option<Place>>,
    /// By pack and entry; the highest number stands for none.
    numbers: Vec<Vec<u32>>,
}

impl Places {
    pub(super) fn new(names: &Names, packs: &Packs, packed: &[(Oid, Place)]) -> Self {
        let pack_numbers = 0..u32::try_from(packs.count()).unwrap_or(0);
        let mut made = Self {
            places: vec![None; names.len()],
            numbers: pack_numbers
                .map(|pack| vec![u32::MAX; packs.len_of(pack)])
                .collect(),
        };
        // Both ascend.
        let mut rest = packed.iter().peekable();
        for ((number, oid), slot) in (0..).zip(names.all()).zip(&mut made.places) {
            while rest.next_if(|(other, _)| other < oid).is_some() {}
            let Some((_, place)) = rest.next_if(|(other, _)| other == oid) else {
                continue;
            };
            *slot = Some(*place);
            let numbers = made.numbers.get_mut(place.pack as usize);
            if let Some(entry) = numbers.and_then(|it| it.get_mut(place.entry as usize)) {
                *entry = number;
            }
        }
        made
    }

    pub(super) fn place(&self, number: u32) -> Option<Place> {
        self.places.get(number as usize).copied().flatten()
    }

    pub(super) fn number(&self, place: Place) -> Option<u32> {
        let numbers = self.numbers.get(place.pack as usize)?;
        let number = *numbers.get(place.entry as usize)?;
        (number != u32::MAX).then_some(number)
    }
}
