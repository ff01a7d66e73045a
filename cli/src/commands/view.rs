//! `refwarden view` and `refwarden map`: makes, lists, shows and removes masked views.
//!
//! What it deliberately does not do: it serves nothing, and asks no service. The proxy runs
//! `view refresh` for the views that it serves.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aws_lc_rs::rand;
use refwarden_gitio::Repository;
use refwarden_scan::{FingerprintKey, Ruleset};
use refwarden_view::RefFilters;
use refwarden_view::build::BuildError;
use refwarden_view::cache::{self, About, Place};
use refwarden_wire::hook::MaskedView;
use serde::Serialize;

use crate::args::{Map, View, ViewArgs, ViewCommand, ViewList, ViewOf};
use crate::failure::{Context as _, Failure, Outcome};
use crate::output::{self, Table};
use crate::progress;

/// Runs a command below `view`.
pub fn run(args: &View) -> Outcome {
    match &args.command {
        ViewCommand::Build(args) => build(args, Place::build),
        ViewCommand::Refresh(args) => build(args, Place::refresh),
        ViewCommand::List(args) => list(args),
        ViewCommand::Show(args) => show(args),
        ViewCommand::Drop(args) => drop_view(args),
    }
}

/// A view that is or will be.
struct Wanted {
    repository: Repository,
    ruleset: Ruleset,
    key: FingerprintKey,
    place: Place,
}

/// What is printed of a view.
#[derive(Serialize)]
struct Shown {
    shadow: PathBuf,
    #[serde(flatten)]
    about: About,
}

impl Wanted {
    /// `make_key`: whether a key that is not there may be made.
    fn resolve(repository: &Path, what: &ViewArgs, make_key: bool) -> Outcome<Option<Self>> {
        let shown = repository.display();
        let repository =
            Repository::open(repository).context(|| format!("{shown} cannot be used"))?;
        let masked = what.masked();
        let ruleset = ruleset(&what.rules, &masked)?;
        let filters = masked.filters.iter().map(|it| (&it.refs[..], &it.hide[..]));
        let filters = RefFilters::new(filters)
            .context(|| "the refs of the view cannot be understood".to_owned())?;
        let path = what.key.clone().unwrap_or_else(|| what.cache.join("key"));
        let make = make_key && what.key.is_none();
        let Some(key) = key(&path, make, what.key.is_none())? else {
            return Ok(None);
        };
        let place = Place::filtered(&what.cache, &repository, &ruleset, &key, filters);
        Ok(Some(Self {
            repository,
            ruleset,
            key,
            place,
        }))
    }

    fn current(repository: &Path, what: &ViewArgs) -> Outcome<(PathBuf, About)> {
        let wanted = Self::resolve(repository, what, false)?;
        wanted
            .and_then(|wanted| wanted.place.current())
            .ok_or_else(|| none(repository))
    }
}

fn none(repository: &Path) -> Failure {
    let shown = repository.display();
    Failure::refused(format!(
        "there is no view of {shown} with these rules and this key"
    ))
    .next(format!("refwarden view build {shown}"))
}

fn ruleset(files: &[PathBuf], view: &MaskedView) -> Outcome<Ruleset> {
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).context(|| format!("{name} cannot be read"))?;
        texts.push((name, text));
    }
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let ruleset = refwarden_view::rules::ruleset(&texts, view);
    ruleset.context(|| "these rules cannot be used".to_owned())
}

/// The key in a file. None where the file may be absent and is.
fn key(path: &Path, make: bool, optional: bool) -> Outcome<Option<FingerprintKey>> {
    let shown = path.display();
    if make {
        make_key(path).context(|| format!("{shown} cannot be made"))?;
    }
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && optional => return Ok(None),
        text => text.context(|| format!("{shown} cannot be read"))?,
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| {
        Failure::new(format!("{shown} holds no key")).why("it must hold 64 hexadecimal digits")
    })?;
    Ok(Some(FingerprintKey::new(bytes)))
}

/// Makes a key where there is none, whole or not at all.
fn make_key(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| std::io::Error::other("no random numbers"))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let new = directory.join(format!("key.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(format!("{}\n", hex::encode(bytes)).as_bytes())?;
    file.sync_all()?;
    // Whoever was first has made the key.
    let linked = std::fs::hard_link(&new, path);
    std::fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Building anew, or where something has changed.
type Make = fn(&Place, &Repository, &Ruleset, &FingerprintKey) -> Result<About, BuildError>;

fn build(args: &ViewOf, make: Make) -> Outcome {
    let wanted = Wanted::resolve(&args.repository, &args.what, true)?;
    let wanted = wanted.ok_or_else(|| none(&args.repository))?;
    let bar = progress::count("reading, masking, packing", 0);
    let built = make(
        &wanted.place,
        &wanted.repository,
        &wanted.ruleset,
        &wanted.key,
    );
    bar.finish_and_clear();
    let about = built.context(|| "the view was not built; an older one still stands".to_owned())?;
    let (directory, _) = wanted
        .place
        .current()
        .ok_or_else(|| Failure::new("the view went away while it was built"))?;
    print(&directory, about, args.what.json)
}

fn show(args: &ViewOf) -> Outcome {
    let (directory, about) = Wanted::current(&args.repository, &args.what)?;
    print(&directory, about, args.what.json)
}

fn print(directory: &Path, about: About, json: bool) -> Outcome {
    let shadow = cache::shadow(directory);
    if json {
        output::json(&Shown { shadow, about })?;
        return Ok(ExitCode::SUCCESS);
    }
    let counts = &about.counts;
    output::line(&format!(
        "view        {}, generation {}",
        about.view, about.generation
    ))?;
    output::line(&format!(
        "objects     {}, {} rewritten",
        counts.objects, counts.rewritten
    ))?;
    output::line(&format!("renamed     {} commits and tags", counts.renamed))?;
    let left = counts.refs_with_secrets;
    output::line(&format!(
        "refs        {}, {left} left out for their names",
        counts.refs
    ))?;
    let without = counts.refs_without_notes;
    if without > 0 {
        output::line(&format!(
            "notes       {without} refs below refs/notes left out: what is there is not notes alone"
        ))?;
    }
    for (name, commits) in &counts.links {
        output::line(&format!(
            "submodule   {}: {commits} links keep their names; where its repository is masked, they may name what no view has",
            output::printable(name)
        ))?;
    }
    output::line(&format!(
        "shadow      {}",
        output::printable(&shadow.display().to_string())
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ViewList) -> Outcome {
    let shown = args.cache.display();
    let views = cache::list(&args.cache).context(|| format!("{shown} cannot be read"))?;
    let mut table = Table::new(["REPOSITORY", "VIEW", "GENERATION", "OBJECTS", "REWRITTEN"]);
    for (directory, about) in views {
        if args.json {
            let shadow = cache::shadow(&directory);
            output::json(&Shown { shadow, about })?;
            continue;
        }
        table.row(&[
            about.repository.display().to_string(),
            about.view,
            about.generation.to_string(),
            about.counts.objects.to_string(),
            about.counts.rewritten.to_string(),
        ]);
    }
    if !args.json {
        table.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn drop_view(args: &ViewOf) -> Outcome {
    let wanted = Wanted::resolve(&args.repository, &args.what, false)?;
    let wanted = wanted.ok_or_else(|| none(&args.repository))?;
    let dropped = wanted.place.drop_view();
    if !dropped.context(|| "the view cannot be taken away".to_owned())? {
        return Err(none(&args.repository));
    }
    if args.what.json {
        output::json(&serde_json::json!({ "dropped": true }))?;
    } else {
        output::line("The view is gone.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `refwarden map`.
pub fn map(args: &Map) -> Outcome {
    let digits = args.oid.to_ascii_lowercase();
    if digits.len() < 7 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::new("this names no commit").why("give 7 hexadecimal digits or more"));
    }
    let (directory, _) = Wanted::current(&args.repository, &args.what)?;
    let found =
        cache::lookup(&directory, &digits).context(|| "the map cannot be read".to_owned())?;
    if found.is_empty() {
        return Err(Failure::refused("the view knows no such commit or tag"));
    }
    for (original, masked) in found {
        if args.what.json {
            output::json(&serde_json::json!({ "original": original, "masked": masked }))?;
        } else {
            output::line(&format!("{original} {masked}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
