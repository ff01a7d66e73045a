//! `refwarden reconcile`: what the hooks' library finds, said on the command line. What stops one
//! repository does not stop the others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use refwarden_hooks::reconcile::{Reconciled, find, reconcile};
use serde_json::json;

use crate::args::Reconcile;
use crate::failure::{Failure, Outcome};
use crate::layout::DataDir;
use crate::output::{self, printable};

/// Looks once, or again and again.
pub fn run(args: &Reconcile) -> Outcome {
    let Some(every) = args.every else {
        let roots = roots(&args.paths, args.data_dir.as_ref())?;
        let found = repositories(&roots);
        if found.is_empty() {
            output::line("No repository is under guard here.")?;
        }
        return round(&found, args.json, &mut News::everything());
    };
    let mut news = News::default();
    loop {
        // Looked for anew: repositories come and go.
        let found = repositories(&roots(&args.paths, args.data_dir.as_ref())?);
        round(&found, args.json, &mut news)?;
        std::thread::sleep(Duration::from_secs(every.max(1)));
    }
}

/// Where repositories are looked for.
pub fn roots(paths: &[PathBuf], data_dir: Option<&PathBuf>) -> Outcome<Vec<PathBuf>> {
    let roots = match (paths, data_dir) {
        ([], None) => {
            return Err(Failure::new("which repositories?")
                .next("name them, or give --data-dir DIR of refwarden up"));
        }
        ([], Some(dir)) => vec![DataDir::resolve(dir)?.repositories()],
        (paths, _) => paths.to_vec(),
    };
    for root in &roots {
        if !root.is_dir() {
            return Err(Failure::new(format!("{} is no directory", root.display())));
        }
    }
    Ok(roots)
}

/// The repositories under guard in them.
pub fn repositories(roots: &[PathBuf]) -> Vec<PathBuf> {
    roots.iter().flat_map(|root| find(root)).collect()
}

/// What is worth a line: everything where a person asked, and otherwise what is new, so that the log
/// of a reconciler that runs for years stays small.
#[derive(Default)]
struct News {
    everything: bool,
    last: HashMap<PathBuf, Result<Vec<String>, String>>,
}

impl News {
    fn everything() -> Self {
        Self {
            everything: true,
            last: HashMap::new(),
        }
    }

    fn is_news(&mut self, path: &Path, found: &Result<Reconciled, String>) -> bool {
        let now = found.as_ref().map(|found| found.defects.clone());
        let now = now.map_err(Clone::clone);
        let did = found
            .as_ref()
            .is_ok_and(|found| found.settled + found.recorded > 0);
        let before = self.last.insert(path.to_owned(), now.clone());
        self.everything || did || before.as_ref() != Some(&now)
    }
}

fn round(repositories: &[PathBuf], as_json: bool, news: &mut News) -> Outcome {
    let mut code = 0;
    for path in repositories {
        let found = reconcile(path);
        let is_news = news.is_news(path, &found);
        match found {
            Ok(found) => {
                let is_well = found.recorded == 0 && found.defects.is_empty();
                code = code.max(u8::from(!is_well));
                if is_news {
                    tell(&found, as_json)?;
                }
            }
            Err(why) => {
                code = 2;
                if !is_news {
                    continue;
                }
                Failure::new(format!(
                    "{} was not reconciled",
                    printable(&path.to_string_lossy())
                ))
                .why(why)
                .print();
            }
        }
    }
    Ok(ExitCode::from(code))
}

fn tell(found: &Reconciled, as_json: bool) -> Outcome<()> {
    let Reconciled {
        name,
        settled,
        recorded,
        defects,
    } = found;
    if as_json {
        return output::json(&json!({
            "repository": name, "settled": settled, "out_of_band": recorded, "defects": defects,
        }));
    }
    output::line(&format!(
        "{name}: {settled} pushes settled, {recorded} moves out of band"
    ))?;
    for defect in defects {
        output::line(&format!("  guard: {defect}"))?;
    }
    if !defects.is_empty() {
        output::line("  refwarden doctor says how to mend it")?;
    }
    Ok(())
}
