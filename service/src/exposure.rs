//! Answers "who was sent this secret?" from the record.
//!
//! Objects are what ties a secret to those who have it: a finding names the object that holds it,
//! a push names those that it brought, a fetch those that it was sent. A masked reader was sent
//! another object in its place, whose id is not asked for here. A file's name is held by a tree. A
//! ref's name is held by no object, and which names a fetch was told is not on record: guessing it from
//! when the ref was there would name readers who never asked for it (`ls-refs` takes prefixes). What it deliberately does not do: it
//! opens no repository, so a secret that no push was found to hold is known only when a scan of the
//! history names its objects (`refwarden audit exposure --rescan`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::PgConnection;
use refwarden_model::{ActorChain, Oid, bytes};
use refwarden_wire::exposure::{
    ExposedFetchOut, ExposedPushOut, ExposureIn, ExposureOut, Holding, MaskedReadersOut,
    OBJECTS_MAX,
};
use uuid::Uuid;

use crate::db::exposure::{self, Found, Masked, Sought, Told};
use crate::db::fetches::{self, Fetch};
use crate::db::repositories;
use crate::error::AppError;

/// Findings, pairs of fetch and object, and so on, that are looked at.
const ROWS_MAX: usize = 20_000;

/// Readers that are named of masked fetches.
const READERS_MAX: usize = 100;

/// Who was sent what pushes were found to hold.
///
/// # Errors
/// What the database says.
pub fn of_findings(
    conn: &mut PgConnection,
    sought: &Sought,
    repository: Option<Uuid>,
) -> Result<ExposureOut, AppError> {
    exposure::take_time(conn)?;
    let found = exposure::findings_of(conn, sought, repository, limit())?;
    let mut asked = Asked {
        cut: found.len() >= ROWS_MAX,
        ..Asked::default()
    };
    for finding in found {
        asked.take(finding);
    }
    asked.answer(conn, repository)
}

/// Who was sent objects that a scan of a repository's history found.
///
/// # Errors
/// 400 for what names no objects, and what the database says.
pub fn of_objects(
    conn: &mut PgConnection,
    repository: Uuid,
    told: &ExposureIn,
) -> Result<ExposureOut, AppError> {
    if told.objects.len() > OBJECTS_MAX {
        let text = format!("objects: expected at most {OBJECTS_MAX}.");
        return Err(AppError::bad_request(text));
    }
    exposure::take_time(conn)?;
    let mut asked = Asked::default();
    asked.rulesets.insert(told.ruleset.clone());
    asked.repositories.insert(repository);
    for holding in &told.objects {
        asked.add(holding.clone());
    }
    asked.answer(conn, None)
}

/// What is asked for.
#[derive(Default)]
struct Asked {
    holdings: Vec<Holding>,
    known: BTreeSet<(Option<String>, Option<String>, String)>,
    /// Rules that are known to find the secret.
    rulesets: BTreeSet<String>,
    repositories: BTreeSet<Uuid>,
    /// Pushes that held it in no object.
    pushes: BTreeMap<Uuid, BTreeSet<String>>,
    cut: bool,
}

impl Asked {
    fn take(&mut self, found: Found) {
        self.rulesets.insert(found.ruleset);
        self.repositories.insert(found.repository);
        self.pushes.entry(found.push).or_default();
        self.add(Holding {
            oid: found.object,
            place: found.place,
            path: found.path.map(|path| bytes::escape(&path)),
            commit: found.commit,
            rule: found.rule,
            fingerprint: found.fingerprint,
        });
    }

    fn add(&mut self, holding: Holding) {
        let key = (
            holding.oid.clone(),
            holding.path.clone(),
            holding.fingerprint.clone(),
        );
        if self.known.insert(key) {
            self.holdings.push(holding);
        }
    }

    fn answer(
        mut self,
        conn: &mut PgConnection,
        only: Option<Uuid>,
    ) -> Result<ExposureOut, AppError> {
        let texts: BTreeSet<&String> = self
            .holdings
            .iter()
            .filter_map(|it| it.oid.as_ref())
            .collect();
        let bad =
            |_| AppError::bad_request("oid: expected 40 or 64 lower-case hexadecimal digits.");
        let parsed = texts.iter().map(|text| Oid::parse(text.as_bytes()));
        let oids: Vec<Oid> = parsed.collect::<Result<_, _>>().map_err(bad)?;
        let texts: Vec<String> = texts.into_iter().cloned().collect();
        let brought = fetches::carrying(conn, &oids, limit())?;
        let pushed = exposure::pushes_with(conn, &texts, limit())?;
        let cut = self.cut || brought.len().max(pushed.len()) >= ROWS_MAX;
        let mut fetched: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
        for one in brought {
            fetched.entry(one.fetch).or_default().insert(one.oid);
        }
        for one in pushed {
            self.pushes.entry(one.push).or_default().insert(one.oid);
        }
        let names: HashMap<Uuid, String> = repositories::list(conn)?
            .into_iter()
            .map(|known| (known.id, known.name))
            .collect();
        let name = |id: Uuid| names.get(&id).cloned().unwrap_or_default();
        let wanted = |id: Uuid| only.is_none_or(|only| only == id);
        let ids: Vec<Uuid> = fetched.keys().copied().collect();
        let rows = fetches::by_ids(conn, &ids)?;
        let mut out = ExposureOut {
            cut,
            ..ExposureOut::default()
        };
        for row in rows.into_iter().filter(|row| wanted(row.repository_id)) {
            self.repositories.insert(row.repository_id);
            let objects = fetched.remove(&row.id).unwrap_or_default();
            out.fetches.push(fetch(row, name, objects)?);
        }
        let ids: Vec<Uuid> = self.pushes.keys().copied().collect();
        for row in exposure::pushes_told(conn, &ids)? {
            if wanted(row.repository) {
                self.repositories.insert(row.repository);
                let objects = self.pushes.remove(&row.id).unwrap_or_default();
                out.pushes.push(push(row, name, objects)?);
            }
        }
        let around: Vec<Uuid> = self.repositories.into_iter().collect();
        for row in exposure::unknown(conn, &around, limit())? {
            out.unknown.push(fetch(row, name, BTreeSet::new())?);
        }
        for row in exposure::masked(conn, &around, &ids_of(&out.fetches))? {
            let knew = self.rulesets.contains(&row.ruleset);
            out.masked.push(masked(row, name, knew)?);
        }
        out.objects = self.holdings;
        Ok(out)
    }
}

fn limit() -> i64 {
    i64::try_from(ROWS_MAX).unwrap_or(i64::MAX)
}

fn ids_of(fetches: &[ExposedFetchOut]) -> Vec<Uuid> {
    fetches.iter().map(|fetch| fetch.id).collect()
}

fn chain(value: Option<serde_json::Value>) -> Result<Option<ActorChain>, AppError> {
    let chain = value.map(serde_json::from_value).transpose();
    chain.map_err(AppError::internal)
}

fn described(chain: Option<&ActorChain>, nobody: &str) -> String {
    chain.map_or_else(|| nobody.to_owned(), ActorChain::describe)
}

fn fetch(
    row: Fetch,
    name: impl Fn(Uuid) -> String,
    objects: BTreeSet<String>,
) -> Result<ExposedFetchOut, AppError> {
    let actor_chain = chain(row.actor_chain)?;
    Ok(ExposedFetchOut {
        id: row.id,
        repository: name(row.repository_id),
        seq: row.seq,
        at: row.begun_at,
        reader: described(actor_chain.as_ref(), "anonymous"),
        actor_chain,
        token_sha256: row.token_sha256,
        address: row.client_address,
        agent: row.client_agent,
        transport: row.transport,
        view: row.view_id,
        ended: row.ended,
        certainty: row.certainty,
        objects: objects.into_iter().collect(),
        pack_digest: row.pack_digest,
    })
}

fn push(
    row: Told,
    name: impl Fn(Uuid) -> String,
    objects: BTreeSet<String>,
) -> Result<ExposedPushOut, AppError> {
    let actor_chain = chain(row.actor_chain)?;
    Ok(ExposedPushOut {
        id: row.id,
        repository: name(row.repository),
        at: row.at,
        pusher: described(actor_chain.as_ref(), "unknown"),
        actor_chain,
        address: row.address,
        transport: row.transport,
        state: row.state,
        objects: objects.into_iter().collect(),
    })
}

fn masked(
    row: Masked,
    name: impl Fn(Uuid) -> String,
    knew: bool,
) -> Result<MaskedReadersOut, AppError> {
    let mut readers = BTreeSet::new();
    for reader in row.readers.into_iter().take(READERS_MAX) {
        readers.insert(described(chain(reader)?.as_ref(), "anonymous"));
    }
    Ok(MaskedReadersOut {
        repository: name(row.repository),
        ruleset: row.ruleset,
        knew,
        fetches: row.fetches,
        first_at: row.first_at,
        last_at: row.last_at,
        readers: readers.into_iter().collect(),
    })
}
