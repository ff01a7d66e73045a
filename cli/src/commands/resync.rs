//! `refwarden resync`: brings the branches of a clone over to what its view is now.
//!
//! A new rule makes a new view, in which every commit from the first affected one on has another
//! name. This finds what answers to each, makes the commits that only this clone has again upon
//! it, and moves branches and tags. Where it is not clear what to do, a branch stays where it is.
//! Everything that was moved is kept under `refs/refwarden/before-resync/`.
//!
//! What it deliberately does not do: it asks no service, pushes nothing, and stops for no
//! conflict.

mod history;
mod local;
mod replay;

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::args::Resync;
use crate::failure::{Failure, Outcome};
use crate::output;
use history::Histories;
use local::LocalClone;
use replay::{Replayed, short};

/// Where the remote's tags stand while they are compared.
const TAGS: &str = "refs/refwarden/tags/";

/// Where what was moved is kept.
const KEPT: &str = "refs/refwarden/before-resync/";

/// What became of a branch or tag.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Done {
    name: String,
    was: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<String>,
    /// Commits of this clone that were made again.
    made: usize,
    /// Why it stays; none where it was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
}

#[derive(Serialize)]
struct Said<'a> {
    remote: &'a str,
    dry_run: bool,
    /// Commits that the view has under other names now.
    replaced: usize,
    branches: &'a [Done],
    tags: &'a [Done],
    signatures_lost: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a str>,
}

/// Runs it.
pub fn run(args: &Resync) -> Outcome {
    let clone = LocalClone::find(args.directory.clone())?;
    let remote = format!("refs/remotes/{}", args.remote);
    let tags = || refs(&clone, "refs/tags");
    let mut old = earlier(&clone, &remote)?;
    old.extend(tags()?.into_values());
    clone.git("fetch", &["-q", &args.remote], b"")?;
    let spec = format!("+refs/tags/*:{TAGS}*");
    let fetch = ["-q", "--no-tags", "--prune", &*args.remote, &*spec];
    clone.git("fetch", &fetch, b"")?;
    let theirs = refs(&clone, TAGS.trim_end_matches('/'))?;
    let mut new: Vec<String> = refs(&clone, &remote)?.into_values().collect();
    new.extend(theirs.values().cloned());
    let histories = Histories::read(&clone, &old, &new)?;
    let mut replayed = Replayed::new(&clone, &histories);
    let kept = format!("{KEPT}{}/", seconds());
    let move_to = Move {
        clone: &clone,
        kept: &kept,
        dry_run: args.dry_run,
        trees: working_trees(&clone)?,
    };
    let mut branches = Vec::new();
    for (name, was) in refs(&clone, "refs/heads")? {
        branches.extend(branch(
            &move_to,
            &mut replayed,
            &histories,
            &new,
            name,
            was,
        )?);
    }
    let mut moved_tags = Vec::new();
    for (name, was) in tags()? {
        let now = theirs.get(&name.replacen("refs/tags/", TAGS, 1));
        moved_tags.extend(tag(&move_to, &histories, now, name, was)?);
    }
    for name in theirs.keys() {
        clone.git("update-ref", &["-d", name], b"")?;
    }
    let said = Said {
        remote: &args.remote,
        dry_run: args.dry_run,
        replaced: histories.count(),
        branches: &branches,
        tags: &moved_tags,
        signatures_lost: replayed.signatures,
        kept: Some(&*kept).filter(|_| {
            let all = branches.iter().chain(&moved_tags);
            !args.dry_run && all.into_iter().any(|it| it.left.is_none())
        }),
    };
    if args.json {
        output::json(&said)?;
    } else {
        tell(&said)?;
    }
    let stays = branches
        .iter()
        .chain(&moved_tags)
        .any(|it| it.left.is_some());
    Ok(if stays {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What one branch comes to; none where nothing old is in it.
fn branch(
    move_to: &Move<'_>,
    replayed: &mut Replayed<'_>,
    histories: &Histories,
    new: &[String],
    name: String,
    was: String,
) -> Outcome<Option<Done>> {
    let without: String = new.iter().flat_map(|oid| ["^", oid, "\n"]).collect();
    let input = format!("{was}\n{without}");
    let arguments = ["--topo-order", "--reverse", "--ignore-missing", "--stdin"];
    let listed = move_to
        .clone
        .git("rev-list", &arguments, input.as_bytes())?;
    let listed = String::from_utf8_lossy(&listed);
    let (old, own): (Vec<&str>, Vec<&str>) = listed.lines().partition(|it| histories.is_old(it));
    if old.is_empty() {
        return Ok(None);
    }
    let own: Vec<String> = own.into_iter().map(str::to_owned).collect();
    let mut done = Done {
        name,
        was,
        now: None,
        made: own.len(),
        left: None,
    };
    done.left = replayed.replay(&own)?.err();
    if done.left.is_none() {
        done.now = replayed.now(&done.was);
        match &done.now {
            None => done.left = Some(format!("nothing answers to {}", short(&done.was))),
            Some(now) => done.left = move_to.branch(&done.name, &done.was, now)?,
        }
    }
    Ok(Some(done))
}

/// What one tag comes to. One that only this clone has stays, and is told.
fn tag(
    move_to: &Move<'_>,
    histories: &Histories,
    now: Option<&String>,
    name: String,
    was: String,
) -> Outcome<Option<Done>> {
    let peel = |oid: &str| {
        let peeled = move_to.clone.attempt(
            "rev-parse",
            &["-q", "--verify", &format!("{oid}^{{commit}}")],
            b"",
        );
        peeled
            .ok()
            .map(|it| String::from_utf8_lossy(&it).trim_end().to_owned())
    };
    let target = peel(&was);
    if now == Some(&was) || !target.as_deref().is_some_and(|it| histories.is_old(it)) {
        return Ok(None);
    }
    let mut done = Done {
        name,
        was,
        now: now.cloned(),
        made: 0,
        left: None,
    };
    let answer = target.as_deref().and_then(|it| histories.answer(it));
    done.left = match now {
        None => Some("the view has no such tag".to_owned()),
        Some(now) if peel(now).as_deref() == answer => {
            move_to.update(&done.name, &done.was, now)?;
            None
        }
        Some(_) => Some("the view has it at another commit".to_owned()),
    };
    Ok(Some(done))
}

/// How refs are moved.
struct Move<'a> {
    clone: &'a LocalClone,
    kept: &'a str,
    dry_run: bool,
    /// By branch: the working tree that it is checked out in.
    trees: HashMap<String, String>,
}

impl Move<'_> {
    /// Moves a branch; why not, where it stays.
    fn branch(&self, name: &str, was: &str, now: &str) -> Outcome<Option<String>> {
        let Some(tree) = self.trees.get(name) else {
            self.update(name, was, now)?;
            return Ok(None);
        };
        let tree = LocalClone::at(tree);
        let status = ["--porcelain", "--untracked-files=no"];
        if !tree.text("status", &status)?.is_empty() {
            return Ok(Some(
                "it is checked out with changes; commit or stash them".to_owned(),
            ));
        }
        if self.dry_run {
            return Ok(None);
        }
        self.keep(name, was)?;
        // Leaves alone what it does not know, as a checkout does.
        match tree.attempt("reset", &["-q", "--keep", now], b"") {
            Ok(_) => Ok(None),
            Err(_) => Ok(Some("files of its working tree are in the way".to_owned())),
        }
    }

    fn update(&self, name: &str, was: &str, now: &str) -> Outcome<()> {
        if self.dry_run {
            return Ok(());
        }
        self.keep(name, was)?;
        let arguments = ["-m", "refwarden resync", name, now, was];
        self.clone.git("update-ref", &arguments, b"")?;
        Ok(())
    }

    fn keep(&self, name: &str, was: &str) -> Outcome<()> {
        let name = name.strip_prefix("refs/").unwrap_or(name);
        let kept = format!("{}{name}", self.kept);
        self.clone.git("update-ref", &[&kept, was], b"")?;
        Ok(())
    }
}

/// Refs below a prefix that are no symbolic refs, with their values.
fn refs(clone: &LocalClone, prefix: &str) -> Outcome<BTreeMap<String, String>> {
    let format = "--format=%(objectname) %(symref) %(refname)";
    let listed = clone.lines("for-each-ref", &[format, prefix])?;
    let pairs = listed.iter().filter_map(|line| line.split_once("  "));
    Ok(pairs
        .map(|(oid, name)| (name.to_owned(), oid.to_owned()))
        .collect())
}

/// Everything that the remote's branches were, as far as this clone remembers.
fn earlier(clone: &LocalClone, remote: &str) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for (name, value) in refs(clone, remote)? {
        all.push(value);
        // A clone may keep no reflog.
        let walked = clone.attempt("log", &["-g", "--format=%H", &name, "--"], b"");
        let walked = String::from_utf8_lossy(&walked.unwrap_or_default()).into_owned();
        all.extend(walked.lines().map(str::to_owned));
        // What the ref was before the oldest entry, which a clone itself does not write.
        let first = format!("{name}@{{{}}}", walked.lines().count());
        let first = clone.attempt("rev-parse", &["-q", "--verify", &first], b"");
        let first = String::from_utf8_lossy(&first.unwrap_or_default()).into_owned();
        all.extend(first.lines().map(str::to_owned));
    }
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        return Err(Failure::new("this clone has no branches of that remote")
            .next("name the remote that the view is fetched from: --remote NAME"));
    }
    Ok(all)
}

/// Which branch is checked out where (git-worktree(1), "PORCELAIN FORMAT").
fn working_trees(clone: &LocalClone) -> Outcome<HashMap<String, String>> {
    let listed = clone.git("worktree", &["list", "--porcelain", "-z"], b"")?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let mut trees = HashMap::new();
    let mut directory = "";
    for line in listed.split('\0') {
        if let Some(path) = line.strip_prefix("worktree ") {
            directory = path;
        } else if let Some(branch) = line.strip_prefix("branch ") {
            trees.insert(branch.to_owned(), directory.to_owned());
        }
    }
    // A bare clone stands in its own list, without a tree.
    if clone.text("rev-parse", &["--is-bare-repository"])? == "true" {
        trees.clear();
    }
    Ok(trees)
}

fn tell(said: &Said<'_>) -> Outcome<()> {
    if said.replaced == 0 {
        return output::line("The view is the one that this clone has. Nothing was moved.");
    }
    output::line(&format!(
        "The view has {} commits of this clone under other names now.",
        said.replaced
    ))?;
    let moved = if said.dry_run { "would go" } else { "went" };
    for done in said.branches.iter().chain(said.tags) {
        let name = output::printable(&done.name);
        let was = short(&done.was);
        match (&done.left, &done.now) {
            (None, Some(now)) => output::line(&format!(
                "{name} {moved} from {was} to {}{}",
                short(now),
                match done.made {
                    0 => String::new(),
                    1 => ", with one commit of its own".to_owned(),
                    many => format!(", with {many} commits of its own"),
                }
            ))?,
            (left, _) => output::line(&format!(
                "{name} stays at {was}: {}",
                left.as_deref().unwrap_or_default()
            ))?,
        }
    }
    if said.signatures_lost > 0 {
        output::line(&format!(
            "{} commits are not signed any more; sign them again.",
            said.signatures_lost
        ))?;
    }
    if let Some(kept) = said.kept {
        output::line(&format!("What was there before is kept below {kept}"))?;
    }
    let left = said.branches.iter().any(|it| it.left.is_some());
    if left {
        output::line("Bring over by hand what stays: git rebase --onto NEW OLD BRANCH")?;
    }
    Ok(())
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |it| it.as_secs())
}
