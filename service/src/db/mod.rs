//! Postgres, through diesel. Rows and queries; what they mean is decided in `lifecycle` and
//! `approval`. Nothing outside this module names a table.

/// Inserts rows, of which a statement takes at most so many, for Postgres takes 65 535 parameters.
/// One row alone goes by a statement that the connection has prepared, if its type writes none as NULL
/// (`treat_none_as_default_value`).
macro_rules! insert_rows {
    ($conn:expr, $table:expr, $rows:expr, $most:expr) => {{
        let rows = $rows;
        if let [only] = rows {
            diesel::insert_into($table).values(only).execute($conn)?;
        } else {
            for chunk in rows.chunks($most) {
                diesel::insert_into($table).values(chunk).execute($conn)?;
            }
        }
    }};
}

pub mod ancestry;
pub mod comments;
pub mod events;
pub mod exceptions;
pub mod exposure;
pub mod fetches;
pub mod grants;
pub mod holds;
pub mod log;
pub mod masked_pushes;
pub mod outbox;
pub mod packs;
mod pages;
mod patience;
pub mod people;
mod pieces;
pub mod pool;
pub mod push_facts;
pub mod pushes;
pub mod reconcile;
pub mod records;
pub mod repositories;
pub mod requests;
pub mod revocations;
pub mod schema;
mod search;
#[cfg(test)]
mod search_tests;
pub mod sessions;
pub mod terms;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = diesel::sql_types::Text)]
    value: String,
}

/// Runs the migrations that are missing, as the owner of the tables, and refuses a server that may
/// forget what it confirmed.
///
/// # Errors
/// One sentence: what is wrong and what to do.
pub fn prepare(url: &str, migrator_url: Option<&str>) -> Result<(), String> {
    let mut conn = connect(migrator_url.unwrap_or(url))?;
    // One service at a time migrates; the lock goes with the connection.
    conn.batch_execute("SELECT pg_advisory_lock(7240617)")
        .map_err(|error| format!("cannot take the migration lock: {error}"))?;
    conn.run_pending_migrations(MIGRATIONS)
        .map_err(|error| format!("migrations failed: {error}"))?;
    let mut conn = connect(url)?;
    for name in ["fsync", "synchronous_commit"] {
        if setting(&mut conn, &format!("current_setting('{name}')"))? == "off" {
            return Err(format!(
                "the database runs with {name} = off and could lose records; set {name} = on for \
                 the server, the database and the role, and restart"
            ));
        }
    }
    let owner = "SELECT pg_has_role(relowner, 'USAGE')::text FROM pg_class \
                 WHERE oid = 'events'::regclass";
    if setting(&mut conn, &format!("({owner})"))? == "true" {
        tracing::warn!(
            "the service runs as the owner of the ledger's tables and could change them: set \
             database.migrator_url, and let database.url name refwarden_app (docs/auditing.md)"
        );
    }
    Ok(())
}

fn connect(url: &str) -> Result<PgConnection, String> {
    PgConnection::establish(url).map_err(|error| format!("cannot connect to the database: {error}"))
}

fn setting(conn: &mut PgConnection, expression: &str) -> Result<String, String> {
    let found: Setting = diesel::sql_query(format!("SELECT {expression} AS value"))
        .get_result(conn)
        .map_err(|error| format!("cannot read the database's settings: {error}"))?;
    Ok(found.value)
}

/// Has the transaction that is under way confirmed before it is durable: it is so with the next one
/// that is committed as usual, or within three times `wal_writer_delay` ("Asynchronous
/// Commit" in the manual of Postgres). Only for what is no harm when a crash of the database takes it back; docs/decisions/0023
/// says of what.
///
/// # Errors
/// What diesel says.
pub fn commit_lazily(conn: &mut PgConnection) -> Result<(), diesel::result::Error> {
    conn.batch_execute("SET LOCAL synchronous_commit = off")
}

/// Whether the database answers.
///
/// # Errors
/// What diesel says.
pub fn ping(conn: &mut PgConnection) -> Result<(), diesel::result::Error> {
    conn.batch_execute("SELECT 1")
}
