//! `refwarden audit exposure`: who was sent a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use refwarden_config::HookConfig;
use refwarden_gitio::Repository;
use refwarden_model::bytes::escape;
use refwarden_scan::FingerprintKey;
use refwarden_wire::exposure::{ExposureIn, ExposureOut, Holding, OBJECTS_MAX};

use crate::api::Api;
use crate::args::AuditExposure;
use crate::commands::scan::{Found, whole};
use crate::failure::{Context as _, Failure, Outcome};
use crate::output::{self, Table, printable};

/// Places of a secret that a line names.
const NAMED: usize = 3;

/// Asks, and tells.
pub fn run(args: &AuditExposure) -> Outcome {
    let out = match &args.rescan {
        None => ask(args)?,
        Some(path) => rescan(args, path)?,
    };
    if args.json {
        output::json(&out)?;
    } else {
        tell(&out)?;
    }
    let nobody = out.fetches.is_empty() && out.pushes.is_empty();
    Ok(ExitCode::from(u8::from(!nobody)))
}

fn ask(args: &AuditExposure) -> Outcome<ExposureOut> {
    let mut query = Vec::new();
    query.extend(args.fingerprint.clone().map(|it| ("fingerprint", it)));
    query.extend(args.rule.clone().map(|it| ("rule", it)));
    query.extend(args.repository.clone().map(|it| ("repository", it)));
    let api = Api::connect(&args.service)?;
    let answer = api.fetch_long("/api/v1/exposure", &query)?;
    answer
        .json()
        .context(|| "the answer to /api/v1/exposure is not understood".to_owned())
}

/// Scans a repository, and asks who was sent what was found.
fn rescan(args: &AuditExposure, path: &Path) -> Outcome<ExposureOut> {
    let shown = path.display();
    let repository = Repository::open(path).context(|| format!("{shown} cannot be scanned"))?;
    let name = args.repository.clone().or(repository.name.clone());
    let name = name.ok_or_else(|| {
        Failure::new(format!("{shown} is not under guard"))
            .next("say with --repository NAME which repository it is")
    })?;
    let key = match &args.fingerprint_key {
        Some(file) => key(file)?,
        None => host_key(&repository)?,
    };
    let scanned = whole::scan(path, key)?;
    let sought = |found: &&Found| match (&args.fingerprint, &args.rule) {
        (Some(it), _) => found.fingerprint.to_string().eq_ignore_ascii_case(it),
        (None, Some(it)) => *found.rule == **it,
        (None, None) => true,
    };
    let mut objects: Vec<Holding> = scanned.found.iter().filter(sought).map(holding).collect();
    objects.dedup();
    let api = Api::connect(&args.service)?;
    let mut out = ExposureOut::default();
    for objects in objects.chunks(OBJECTS_MAX) {
        let asked = ExposureIn {
            repository: name.clone(),
            ruleset: scanned.ruleset.clone(),
            objects: objects.to_vec(),
        };
        merge(&mut out, api.post("/api/v1/exposure", &asked)?);
    }
    Ok(out)
}

/// Puts the answers to several questions together.
fn merge(out: &mut ExposureOut, more: ExposureOut) {
    out.objects.extend(more.objects);
    for fetch in more.fetches {
        match out.fetches.iter_mut().find(|it| it.id == fetch.id) {
            Some(known) => known.objects.extend(fetch.objects),
            None => out.fetches.push(fetch),
        }
    }
    for push in more.pushes {
        match out.pushes.iter_mut().find(|it| it.id == push.id) {
            Some(known) => known.objects.extend(push.objects),
            None => out.pushes.push(push),
        }
    }
    out.fetches.sort_by_key(|fetch| (fetch.at, fetch.id));
    out.pushes.sort_by_key(|push| (push.at, push.id));
    // Of all questions the same, but for those who were carried something of one of them.
    out.unknown = more.unknown;
    out.masked = more.masked;
    out.cut |= more.cut;
}

fn holding(found: &Found) -> Holding {
    let spot = &found.spot;
    Holding {
        oid: spot.object.map(|oid| oid.to_string()),
        place: spot.place.name().replace('_', "-"),
        path: spot.path.as_deref().map(escape),
        commit: spot.commit.map(|oid| oid.to_string()),
        rule: found.rule.to_string(),
        fingerprint: found.fingerprint.to_string(),
    }
}

/// The key of the hooks, so that a secret has the fingerprint that records know it by.
fn host_key(repository: &Repository) -> Outcome<FingerprintKey> {
    let file = repository.hook_config.as_ref().ok_or_else(|| {
        Failure::new("the repository has no hooks of Refwarden")
            .next("name the key of its host with --fingerprint-key FILE")
    })?;
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).context(|| format!("{shown} cannot be read"))?;
    let config: HookConfig =
        refwarden_config::parse(&shown, &text).context(|| format!("{shown} is not understood"))?;
    key(&config.fingerprint_key_file)
}

fn key(file: &Path) -> Outcome<FingerprintKey> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).context(|| format!("{shown} cannot be read"))?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key)
        .map_err(|_| Failure::new(format!("{shown} does not hold 64 hexadecimal digits")))?;
    Ok(FingerprintKey::new(key))
}

fn tell(out: &ExposureOut) -> Outcome<()> {
    if out.objects.is_empty() {
        output::line("No push was found to hold such a secret, and no scan found it.")?;
        return output::line(
            "What is older than the guard, or what only a newer rule finds, is found with --rescan.",
        );
    }
    let mut rows = Vec::new();
    let places = places(&out.objects);
    for fetch in &out.fetches {
        let how = match fetch.certainty.as_deref() {
            Some("exact") => "fetch".to_owned(),
            _ => format!("fetch ({}, may have)", fetch.ended),
        };
        rows.push((
            fetch.at,
            [
                when(fetch.at),
                how,
                fetch.reader.clone(),
                fetch.address.clone().unwrap_or_default(),
                fetch.repository.clone(),
                fetch.view.clone().unwrap_or_else(|| "whole".to_owned()),
                named(&places, &fetch.objects),
            ],
        ));
    }
    for push in &out.pushes {
        rows.push((
            push.at,
            [
                when(push.at),
                format!("push ({})", push.state),
                push.pusher.clone(),
                push.address
                    .clone()
                    .unwrap_or_else(|| push.transport.clone()),
                push.repository.clone(),
                String::new(),
                named(&places, &push.objects),
            ],
        ));
    }
    rows.sort_by_key(|(at, _)| *at);
    if rows.is_empty() {
        output::line("Nobody was sent it, as far as is on record.")?;
    } else {
        let mut table = Table::new(["TIME", "HOW", "WHO", "FROM", "REPOSITORY", "VIEW", "WHERE"]);
        for (_, row) in &rows {
            table.row(row);
        }
        table.print()?;
    }
    around(out)
}

/// What is not known, and who was masked.
fn around(out: &ExposureOut) -> Outcome<()> {
    for fetch in &out.unknown {
        output::line(&format!(
            "Not known: what {} was sent from {} at {} ({} event {}).",
            printable(&fetch.reader),
            printable(fetch.address.as_deref().unwrap_or("an unknown address")),
            when(fetch.at),
            printable(&fetch.repository),
            fetch.seq
        ))?;
    }
    for masked in &out.masked {
        let count = masked.fetches;
        let readers = printable(&masked.readers.join(", "));
        let repository = printable(&masked.repository);
        output::line(&if masked.knew {
            format!("Masked: {count} fetches of {repository} were sent a placeholder ({readers}).")
        } else {
            let rules: String = masked.ruleset.chars().take(12).collect();
            format!(
                "Not shown to be clean: {count} masked fetches of {repository} ({readers}) by rules \
                 {rules}, which are not known to find it."
            )
        })?;
    }
    if out.cut {
        output::line("There is more than is listed: narrow it with --repository.")?;
    }
    Ok(())
}

fn when(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Where the secret stands in each object.
fn places(objects: &[Holding]) -> BTreeMap<&str, BTreeSet<String>> {
    let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for holding in objects {
        let Some(oid) = &holding.oid else { continue };
        let place = match &holding.path {
            Some(path) => path.clone(),
            None => format!("{} {}", holding.place, oid.get(..12).unwrap_or(oid)),
        };
        places.entry(oid).or_default().insert(place);
    }
    places
}

fn named(places: &BTreeMap<&str, BTreeSet<String>>, objects: &[String]) -> String {
    let all: BTreeSet<&String> = objects
        .iter()
        .filter_map(|oid| places.get(oid.as_str()))
        .flatten()
        .collect();
    let named: Vec<&str> = all.iter().take(NAMED).map(|place| place.as_str()).collect();
    let text = named.join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
