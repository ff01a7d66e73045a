//! Masked view: another history that is valid and holds no secret.
//!
//! A pack cannot be edited in flight, since an object's name is the hash of its bytes. So a view
//! is a deterministic rewrite: every blob that holds a secret is replaced, the trees, commits and
//! tags above it follow, and what no secret touches keeps its name.
//!
//! * [`mask`] rewrites one object: bytes in, bytes out.
//! * [`build`](mod@build) makes a *shadow*: a bare repository that holds nothing but what a masked reader may
//!   see. No alternates, no foreign pack, no hooks: what is not there cannot leak.
//! * [`cache`] keeps shadows, one directory for each build, with an atomic switch.
//! * [`unmask`](mod@unmask) translates a push from a masked clone back.
//! * [`rules`] says which rules mask.
//! * [`serving`] finds the shadow that a reader gets, and [`lasting`] says how long an answer on who
//!   reads what may be gone by, for those who serve.
//!
//! What it deliberately does not do: it serves nothing, and decides not who sees which view. It
//! reads the original only through `refwarden-gitio`, and writes nothing to it.

pub mod build;
pub mod cache;
mod filter;
mod hash;
pub mod lasting;
pub mod mask;
mod pack;
pub mod placeholder;
pub mod rules;
pub mod serving;
pub mod unmask;

pub use filter::RefFilters;
pub use hash::object_id;
pub use mask::Mask;
