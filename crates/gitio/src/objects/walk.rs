//! Resolves the objects of packs as `git index-pack` does: along the deltas, each once, on all
//! processors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress, Status};
use refwarden_model::Oid;

use super::Kind;
use super::delta::{apply, result_length};
use super::packs::{Held, Pack, Packs, Place};

/// Bytes of bases that each worker holds. Beyond that it resolves again what it needs.
const HELD_MAX: usize = 96 << 20;

/// Whole entries that a worker takes at a time.
const TAKEN: usize = 16;

/// Longest chain with a base that stands behind.
const NAMED_MAX: usize = 10_000;

/// Bytes that an object may take compressed beyond its own length.
const SLACK: u64 = 1 << 20;

/// An object that was resolved.
pub struct Resolved<'b> {
    /// Where it stands.
    pub place: Place,
    /// Its name, by the pack's index.
    pub oid: Oid,
    /// Its type.
    pub kind: Kind,
    /// All of it.
    pub bytes: &'b [u8],
    /// Whether its entry holds nothing besides, so that it may be copied as it stands.
    pub is_exact: bool,
    /// What it was made from, if it is not whole.
    pub base: Option<Base<'b>>,
    /// Whether other objects are made from it, which come next.
    pub is_base: bool,
}

/// What an object is based on.
#[derive(Clone, Copy)]
pub struct Base<'b> {
    /// Where it stands.
    pub place: Place,
    /// All of it.
    pub bytes: &'b [u8],
    /// The difference ([`copied`](super::copied)).
    pub delta: &'b [u8],
}

/// What is wanted of a walk.
pub struct Walk<'w> {
    /// Which types.
    pub kinds: &'w [Kind],
    /// Which objects of those.
    pub wanted: &'w (dyn Fn(Place) -> bool + Sync),
    /// Largest object, in bytes.
    pub whole_max: u64,
    /// Workers; one and more.
    pub workers: usize,
}

/// Hands each wanted object to `see`, with what `start` makes for each worker: an object after
/// what it is based on, and all that is based on it before anything else. Answers what `start`
/// made, and the places of wanted objects that could not be resolved: too large, malformed, or
/// with a base that is. The latter include objects of other types where an entry does not tell
/// its type.
///
/// What is held at a time are the bases of one object for each worker, bounded, and the object.
pub fn walk<W: Send>(
    packs: &Packs,
    what: &Walk<'_>,
    start: impl Fn() -> W + Sync,
    see: impl Fn(&mut W, &Resolved<'_>) + Sync,
) -> (Vec<W>, Vec<Place>) {
    let mut left = Vec::new();
    let idle: Mutex<Vec<W>> = Mutex::default();
    let idle_ones = || idle.lock().unwrap_or_else(PoisonError::into_inner);
    for (number, pack) in (0..).zip(&packs.packs) {
        let plan = Plan::new(number, pack, what);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let turn = || {
                let own = idle_ones().pop();
                let mut own = own.unwrap_or_else(&start);
                let mut worker = Worker::new(&plan);
                loop {
                    let from = next.fetch_add(TAKEN, Ordering::Relaxed);
                    let roots = plan.roots.get(from..).unwrap_or_default();
                    if roots.is_empty() {
                        return own;
                    }
                    for root in roots.iter().take(TAKEN) {
                        worker.tree(*root, &mut |resolved| see(&mut own, resolved));
                    }
                }
            };
            // Where the system gives fewer threads, those do it.
            let workers = (1..what.workers).map_while(|_| {
                let thread = std::thread::Builder::new();
                thread.spawn_scoped(scope, turn).ok()
            });
            let workers: Vec<_> = workers.collect();
            let own = turn();
            idle_ones().push(own);
            for worker in workers {
                match worker.join() {
                    Ok(own) => idle_ones().push(own),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        left.extend(plan.left());
    }
    let idle = idle.into_inner().unwrap_or_else(PoisonError::into_inner);
    (idle, left)
}

/// What is to be done in one pack.
struct Plan<'p> {
    number: u32,
    pack: &'p Pack,
    whole_max: u64,
    /// Whether an object is wanted itself.
    wanted: Vec<bool>,
    done: Vec<AtomicBool>,
    /// Where the list of what is based on an entry begins in `children`.
    first: Vec<u32>,
    /// By base: entries that are wanted, or bases of those.
    children: Vec<u32>,
    /// Whole entries to begin with.
    roots: Vec<u32>,
}

impl<'p> Plan<'p> {
    fn new(number: u32, pack: &'p Pack, what: &Walk<'_>) -> Self {
        let count = pack.entries.len();
        let mut plan = Self {
            number,
            pack,
            whole_max: what.whole_max,
            wanted: Vec::with_capacity(count),
            done: (0..count).map(|_| AtomicBool::new(false)).collect(),
            first: vec![0; count + 1],
            children: Vec::new(),
            roots: Vec::new(),
        };
        let kinds = plan.kinds();
        for (entry, kind) in (0..).zip(&kinds) {
            let place = Place {
                pack: number,
                entry,
            };
            let fits = kind.is_none_or(|kind| what.kinds.contains(&kind));
            plan.wanted.push(fits && (what.wanted)(place));
        }
        // An entry is needed where it is wanted or something needed is based on it.
        let mut needed = plan.wanted.clone();
        for entry in 0..count {
            let mut at = entry;
            if needed.get(at) != Some(&true) {
                continue;
            }
            while let Some(base) = plan.base(at) {
                match needed.get_mut(base) {
                    Some(needed) if !*needed => *needed = true,
                    _ => break,
                }
                at = base;
            }
        }
        let is_needed = |entry: usize| needed.get(entry) == Some(&true);
        for entry in (0..count).filter(|it| is_needed(*it)) {
            match plan.base(entry) {
                Some(base) => {
                    if let Some(first) = plan.first.get_mut(base + 1) {
                        *first += 1;
                    }
                }
                None if kinds.get(entry).is_some_and(Option::is_some) => {
                    plan.roots.extend(u32::try_from(entry));
                }
                None => {}
            }
        }
        let mut sum = 0;
        for first in &mut plan.first {
            sum += *first;
            *first = sum;
        }
        let mut free = plan.first.clone();
        plan.children = vec![0; sum as usize];
        for entry in (0..count).filter(|it| is_needed(*it)) {
            let free = plan.base(entry).and_then(|base| free.get_mut(base));
            if let Some(free) = free {
                if let Some(child) = plan.children.get_mut(*free as usize) {
                    *child = u32::try_from(entry).unwrap_or(u32::MAX);
                }
                *free += 1;
            }
        }
        plan
    }

    fn base(&self, entry: usize) -> Option<usize> {
        match self.pack.entries.get(entry)?.held {
            Held::Delta(base) => Some(base as usize),
            Held::Whole(_) | Held::Odd => None,
        }
    }

    /// The type of each entry: that of the whole entry which it comes down to.
    fn kinds(&self) -> Vec<Option<Kind>> {
        let count = self.pack.entries.len();
        let mut kinds: Vec<Option<Kind>> = vec![None; count];
        let mut path = Vec::new();
        for entry in 0..count {
            let mut at = entry;
            let kind = loop {
                if let Some(Some(kind)) = kinds.get(at) {
                    break Some(*kind);
                }
                path.push(at);
                match self.pack.entries.get(at).map(|it| it.held) {
                    Some(Held::Whole(kind)) => break Some(kind),
                    // A base may only stand behind where it is named, and then there may be
                    // circles.
                    Some(Held::Delta(base)) if (base as usize) < at || path.len() <= NAMED_MAX => {
                        at = base as usize;
                    }
                    _ => break None,
                }
            };
            for at in path.drain(..) {
                if let Some(slot) = kinds.get_mut(at) {
                    *slot = kind;
                }
            }
        }
        kinds
    }

    fn children(&self, entry: u32) -> &[u32] {
        let at = |entry: u32| self.first.get(entry as usize).copied().unwrap_or(0) as usize;
        let range = at(entry)..at(entry + 1);
        self.children.get(range).unwrap_or_default()
    }

    fn left(&self) -> impl Iterator<Item = Place> {
        let all = (0..).zip(self.wanted.iter().zip(&self.done));
        let left = all.filter(|(_, (wanted, done))| **wanted && !done.load(Ordering::Relaxed));
        left.map(|(entry, _)| Place {
            pack: self.number,
            entry,
        })
    }
}

/// One entry on the way down from a whole one.
struct Step {
    entry: u32,
    /// Which of those that are based on it comes next.
    next: usize,
    /// Empty where it was let go.
    bytes: Option<Vec<u8>>,
}

struct Worker<'p> {
    plan: &'p Plan<'p>,
    inflate: Decompress,
    compressed: Vec<u8>,
    delta: Vec<u8>,
    steps: Vec<Step>,
    held: usize,
    spare: Vec<Vec<u8>>,
}

impl<'p> Worker<'p> {
    fn new(plan: &'p Plan<'p>) -> Self {
        Self {
            plan,
            inflate: Decompress::new(true),
            compressed: Vec::new(),
            delta: Vec::new(),
            steps: Vec::new(),
            held: 0,
            spare: Vec::new(),
        }
    }

    /// Resolves a whole entry and all that is based on it.
    fn tree(&mut self, root: u32, see: &mut dyn FnMut(&Resolved<'_>)) {
        let Some(Held::Whole(kind)) = self.plan.pack.entries.get(root as usize).map(|it| it.held)
        else {
            return;
        };
        let mut bytes = self.spare.pop().unwrap_or_default();
        let Some(is_exact) = self.inflated(root, &mut bytes) else {
            self.spare.push(bytes);
            return;
        };
        self.tell(root, kind, &bytes, is_exact, see);
        self.push(root, bytes);
        while let Some(step) = self.steps.last_mut() {
            let children = self.plan.children(step.entry);
            let Some(&child) = children.get(step.next) else {
                if let Some(step) = self.steps.pop() {
                    self.free(step.bytes);
                }
                continue;
            };
            step.next += 1;
            let is_last = step.next == children.len();
            let mut bytes = self.spare.pop().unwrap_or_default();
            let made = self.difference(child, &mut bytes);
            if let Some(is_exact) = made {
                self.tell(child, kind, &bytes, is_exact, see);
            }
            if is_last && let Some(step) = self.steps.last_mut() {
                // Nothing else is based on it.
                let gone = step.bytes.take();
                self.free(gone);
            }
            match made {
                Some(_) => self.push(child, bytes),
                None => self.spare.push(bytes),
            }
        }
    }

    fn tell(
        &self,
        entry: u32,
        kind: Kind,
        bytes: &[u8],
        is_exact: bool,
        see: &mut dyn FnMut(&Resolved<'_>),
    ) {
        let at = entry as usize;
        let Some(oid) = self.plan.pack.entries.get(at).map(|it| it.oid) else {
            return;
        };
        if self.plan.wanted.get(at) != Some(&true) {
            return;
        }
        if let Some(done) = self.plan.done.get(at) {
            done.store(true, Ordering::Relaxed);
        }
        let pack = self.plan.number;
        let base = self.steps.last().and_then(|step| {
            Some(Base {
                place: Place {
                    pack,
                    entry: step.entry,
                },
                bytes: step.bytes.as_ref()?,
                delta: &self.delta,
            })
        });
        see(&Resolved {
            place: Place { pack, entry },
            oid,
            kind,
            bytes,
            is_exact,
            base,
            is_base: !self.plan.children(entry).is_empty(),
        });
    }

    fn push(&mut self, entry: u32, bytes: Vec<u8>) {
        if self.plan.children(entry).is_empty() {
            self.spare.push(bytes);
            return;
        }
        self.held += bytes.capacity();
        self.steps.push(Step {
            entry,
            next: 0,
            bytes: Some(bytes),
        });
        let mut at = 0;
        while self.held > HELD_MAX && at + 1 < self.steps.len() {
            if let Some(bytes) = self.steps.get_mut(at).and_then(|step| step.bytes.take()) {
                self.held -= bytes.capacity();
            }
            at += 1;
        }
    }

    fn free(&mut self, bytes: Option<Vec<u8>>) {
        let Some(bytes) = bytes else { return };
        self.held -= bytes.capacity();
        if bytes.capacity() <= 1 << 20 && self.spare.len() < 64 {
            self.spare.push(bytes);
        }
    }

    /// Makes an object from the step that it is based on, the last one.
    fn difference(&mut self, child: u32, bytes: &mut Vec<u8>) -> Option<bool> {
        if self.steps.last()?.bytes.is_none() {
            let base = self.again()?;
            self.held += base.capacity();
            self.steps.last_mut()?.bytes = Some(base);
        }
        let mut delta = std::mem::take(&mut self.delta);
        let made = self.inflated(child, &mut delta).and_then(|is_exact| {
            let base = self.steps.last()?.bytes.as_ref()?;
            if result_length(&delta)? > self.plan.whole_max {
                return None;
            }
            bytes.clear();
            apply(base, &delta, bytes)?;
            Some(is_exact)
        });
        self.delta = delta;
        made
    }

    /// Resolves the last step again, from the last one before it that is held.
    fn again(&mut self) -> Option<Vec<u8>> {
        let last = self.steps.len().checked_sub(1)?;
        let from = self.steps.iter().rposition(|step| step.bytes.is_some());
        let mut bytes = Vec::new();
        let start = if let Some(from) = from {
            bytes.clone_from(self.steps.get(from)?.bytes.as_ref()?);
            from + 1
        } else {
            self.inflated(self.steps.first()?.entry, &mut bytes)?;
            1
        };
        let mut delta = Vec::new();
        for at in start..=last {
            self.inflated(self.steps.get(at)?.entry, &mut delta)?;
            let mut next = Vec::new();
            apply(&bytes, &delta, &mut next)?;
            bytes = next;
        }
        Some(bytes)
    }

    /// Inflates what an entry holds; whether that is all there is. None where it is too large or
    /// malformed.
    fn inflated(&mut self, entry: u32, out: &mut Vec<u8>) -> Option<bool> {
        let size = self.plan.pack.entries.get(entry as usize)?.size;
        if size > self.plan.whole_max {
            return None;
        }
        self.plan.pack.compressed_within(
            entry,
            self.plan.whole_max + SLACK,
            &mut self.compressed,
        )?;
        let size = usize::try_from(size).ok()?;
        // Room for more than there may be, so that the end of the stream is seen.
        out.resize(size + 8, 0);
        self.inflate.reset(true);
        let status = self
            .inflate
            .decompress(&self.compressed, out, FlushDecompress::Finish);
        if !matches!(status, Ok(Status::StreamEnd)) || self.inflate.total_out() != size as u64 {
            return None;
        }
        out.truncate(size);
        Some(self.inflate.total_in() == self.compressed.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::objects::{Event, copied, each};
    use crate::testing::Sandbox;
    use crate::{ObjectEnv, Repository};
    use refwarden_model::ObjectFormat;

    /// A pack with chains of differences, and all its objects as git reads them.
    fn packed(format: ObjectFormat) -> (Sandbox, BTreeMap<Oid, Vec<u8>>) {
        let sandbox = Sandbox::new(format, "files");
        for number in 0..60u32 {
            let line = |it: u32| format!("line {} of a file\n", if it == number { 0 } else { it });
            let text: String = (0..200).map(line).collect();
            let noise = number.wrapping_mul(2_654_435_761).to_le_bytes();
            let files: [(&str, &[u8]); 2] = [("file", text.as_bytes()), ("noise", &noise)];
            sandbox.commit("refs/heads/main", &files);
        }
        sandbox.git("repack").args(["-adfq"]).output(b"").unwrap();
        let list = sandbox
            .git("cat-file")
            .args(["--batch-check=%(objectname)", "--batch-all-objects"]);
        let list = String::from_utf8(list.output(b"").unwrap()).unwrap();
        let oids: Vec<Oid> = list.lines().map(|it| it.parse().unwrap()).collect();
        let mut all = BTreeMap::new();
        let env = ObjectEnv::repository_only();
        each(
            &sandbox.repository(),
            &env,
            &oids,
            1 << 20,
            &mut |at, event| {
                if let Event::Whole(_, bytes) = event {
                    all.insert(oids[at], bytes.to_vec());
                }
            },
        )
        .unwrap();
        (sandbox, all)
    }

    fn walked(
        repository: &Repository,
        kinds: &[Kind],
        whole_max: u64,
    ) -> (BTreeMap<Oid, Vec<u8>>, usize) {
        let packs = Packs::open(repository);
        let what = Walk {
            kinds,
            wanted: &|_| true,
            whole_max,
            workers: 3,
        };
        let (found, left) = walk(&packs, &what, Vec::new, |own, it: &Resolved<'_>| {
            assert!(it.is_exact && packs.is_exact(it.place).unwrap());
            if let Some(base) = it.base {
                let mut made = Vec::new();
                apply(base.bytes, base.delta, &mut made).unwrap();
                assert_eq!(made, it.bytes);
                for same in copied(base.delta).unwrap() {
                    assert_eq!(
                        it.bytes[same.at..same.at + same.length],
                        base.bytes[same.base..same.base + same.length]
                    );
                }
            }
            let held = packs.held(it.place);
            assert_eq!(it.base.is_some(), matches!(held, Held::Delta(_)));
            own.push((it.oid, it.bytes.to_vec()));
        });
        (found.into_iter().flatten().collect(), left.len())
    }

    const ALL: [Kind; 4] = [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag];

    #[test]
    fn every_object_is_resolved_as_git_does() {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let (sandbox, all) = packed(format);
            assert!(all.len() > 200);
            let repository = sandbox.repository();
            assert_eq!(walked(&repository, &ALL, 1 << 20), (all.clone(), 0));
            let (blobs, _) = walked(&repository, &[Kind::Blob], 1 << 20);
            let (others, _) = walked(&repository, &ALL[..2], 1 << 20);
            assert_eq!(blobs.len() + others.len(), all.len());
            // What is too large, and what may come of it, is left to others.
            let (small, left) = walked(&repository, &ALL, 1000);
            assert_eq!(small.len() + left, all.len());
            assert!(small.values().all(|bytes| bytes.len() <= 1000) && left >= 60);
        }
    }

    /// Whatever is wrong with a pack, what is handed on is what git would read, or is not what its
    /// name says; nothing stops.
    #[test]
    fn a_damaged_pack_is_no_end() {
        let (sandbox, all) = packed(ObjectFormat::Sha1);
        let directory = sandbox.gitdir().join("objects/pack");
        let entries = std::fs::read_dir(&directory).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let path = paths
            .find(|it| it.extension().is_some_and(|it| it == "pack"))
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for at in (12..whole.len()).step_by(997) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            let packs = Packs::open(&sandbox.repository());
            let what = Walk {
                kinds: &ALL,
                wanted: &|_| true,
                whole_max: 1 << 20,
                workers: 1,
            };
            let (found, left) = walk(&packs, &what, || 0, |own, _: &Resolved<'_>| *own += 1);
            assert_eq!(found.iter().sum::<usize>() + left.len(), all.len(), "{at}");
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(
            Packs::open(&sandbox.repository()).count(),
            0,
            "an entry behind the end"
        );
    }
}
