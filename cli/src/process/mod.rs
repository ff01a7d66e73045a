//! The processes of a quick start: Postgres, the service, the proxy. The only place of the
//! command line that starts anything but git.

pub mod identity;
pub mod part;
pub mod postgres;
pub mod signals;

pub use identity::ProcessId;
pub use part::Part;
