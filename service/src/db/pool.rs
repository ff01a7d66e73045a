//! The pool of connections: bounded waits, durable commits, and connections that are tried before
//! they are used.
//!
//! One that a restart of the server has ended is replaced, and costs nobody a refusal. One that
//! served somebody just now is not tried: under load that would be a question before each question.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::PgConnection;
use diesel::connection::SimpleConnection as _;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, ManageConnection, Pool};
use scheduled_thread_pool::ScheduledThreadPool;

use super::patience;

/// A pool of database connections.
pub type DbPool = Pool<Manager>;

/// A connection that was given back so lately is not tried again. Much shorter than a restart of
/// Postgres takes.
const FRESH: Duration = Duration::from_millis(50);

/// Opens the pool. Connections are made when they are needed.
pub fn open(url: &str, size: u32) -> DbPool {
    Pool::builder()
        .max_size(size)
        .min_idle(Some(size.min(4)))
        .connection_timeout(Duration::from_secs(2))
        // One that waits for a server that says nothing holds up no other.
        .thread_pool(Arc::new(ScheduledThreadPool::new(size as usize)))
        .connection_customizer(Box::new(Settings))
        .test_on_check_out(true)
        .build_unchecked(Manager(ConnectionManager::new(patience::bounded(url))))
}

/// Settings of every connection: bounded waits, so that a stuck database refuses pushes in time,
/// durable commits whatever the server's default is, and no time for compiling what is asked once.
#[derive(Debug)]
struct Settings;

impl CustomizeConnection<Lent, diesel::r2d2::Error> for Settings {
    fn on_acquire(&self, conn: &mut Lent) -> Result<(), diesel::r2d2::Error> {
        conn.batch_execute(
            "SET statement_timeout = '3500ms'; SET lock_timeout = '3s'; \
             SET idle_in_transaction_session_timeout = '10s'; SET synchronous_commit = on; \
             SET timezone = 'UTC'; SET jit = off",
        )
        .map_err(diesel::r2d2::Error::QueryError)
    }
}

/// Makes connections and tries them.
#[derive(Debug)]
pub struct Manager(ConnectionManager<PgConnection>);

/// A connection of the pool.
pub struct Lent {
    conn: PgConnection,
    given_back: Instant,
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl ManageConnection for Manager {
    type Connection = Lent;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Lent, Self::Error> {
        Ok(Lent {
            conn: self.0.connect()?,
            given_back: Instant::now(),
        })
    }

    fn is_valid(&self, lent: &mut Lent) -> Result<(), Self::Error> {
        if lent.given_back.elapsed() < FRESH {
            return Ok(());
        }
        self.0.is_valid(&mut lent.conn)
    }

    /// Asked for each connection that is given back.
    fn has_broken(&self, lent: &mut Lent) -> bool {
        lent.given_back = Instant::now();
        self.0.has_broken(&mut lent.conn)
    }
}
