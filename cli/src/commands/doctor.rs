//! `refwarden doctor`: every check says what is wrong and how to mend it.

mod host;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use refwarden_gitio::Repository;
use refwarden_hooks::reconcile::{Examined, examine};
use serde_json::json;

use super::reconcile::{repositories, roots};
use crate::args::Doctor;
use crate::failure::{Failure, Outcome};
use crate::output::{self, printable, quoted};

/// What was found, and what to do about it.
struct Finding {
    check: &'static str,
    what: String,
    mend: String,
}

impl Finding {
    fn new(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            check,
            what: what.into(),
            mend: mend.into(),
        }
    }
}

/// Looks at each repository.
pub fn run(args: &Doctor) -> Outcome {
    let found = repositories(&roots(&args.paths, args.data_dir.as_ref())?);
    if found.is_empty() {
        return Err(Failure::refused("no repository is under guard here")
            .next("refwarden install puts one under guard"));
    }
    let programs = host::programs();
    let mut code = 0;
    for path in found {
        let shown = printable(&path.to_string_lossy());
        let (name, mut findings) = look(&path);
        findings.extend(programs.iter().map(|missing| {
            let mend = "put all programs of Refwarden beside this one: make build, or install";
            Finding::new("programs", missing.clone(), mend)
        }));
        code = code.max(u8::from(!findings.is_empty()));
        tell(&name, &shown, &findings, args.json)?;
    }
    Ok(ExitCode::from(code))
}

/// A repository's name, and what is wrong with it and with what its hooks need.
fn look(path: &Path) -> (String, Vec<Finding>) {
    let shown = printable(&path.to_string_lossy());
    let opened = match Repository::open(path) {
        Ok(opened) => opened,
        Err(error) => {
            let mend = "mend its configuration";
            return (shown, vec![Finding::new("guard", error.to_string(), mend)]);
        }
    };
    let name = opened.name.clone().unwrap_or_else(|| shown.clone());
    if let Some(original) = opened.original() {
        return (name, vec![copy(&shown, &original)]);
    }
    let (config, mut found) = host::look(&opened);
    // Without hook.toml there is nobody to ask, and no spool.
    let Some(config) = config else {
        return (name, found);
    };
    match examine(path) {
        Ok(examined) => {
            let rejected = host::rejected(&opened, &config);
            found.extend(findings(&examined, &rejected));
        }
        Err(why) => {
            let mend = format!("refwarden install {} puts it right", quoted(&shown));
            found.push(Finding::new("guard", why, mend));
        }
    }
    (name, found)
}

fn copy(shown: &str, original: &Path) -> Finding {
    let original = printable(&original.to_string_lossy());
    let what = format!("{shown} is a copy of {original}, with its id: pushes to it are refused");
    let mend = format!(
        "refwarden install {} --as-new gives it an id and a record of its own",
        quoted(shown)
    );
    Finding::new("copy", what, mend)
}

fn findings(examined: &Examined, rejected: &[PathBuf]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |check, what: &str, mend: &str| found.push(Finding::new(check, what, mend));
    for defect in &examined.defects {
        // What was rejected is told below, by its file.
        if !defect.starts_with("the service has rejected") {
            let mend = if defect.starts_with("core.hooksPath") {
                "unset core.hooksPath for the repositories under guard"
            } else {
                "refwarden install puts hooks and settings right"
            };
            add("guard", defect, mend);
        }
    }
    for file in rejected {
        let file = printable(&file.to_string_lossy());
        let what = format!("{file} holds what the service would not take");
        let mend = format!(
            "nothing is sent again, and nothing waits for it: see what it was, then move it away: \
             mv {} DIR",
            quoted(&file)
        );
        add("spool", &what, &mend);
    }
    if let Some(why) = &examined.unreachable {
        let mend = "start the service, or mend service_url and the credential in hook.toml";
        add("service", why, mend);
    }
    if let Some(why) = &examined.rules {
        let mend =
            "mend that file and restart the service, or bring hooks and service to one version";
        add("rules", why, mend);
    }
    if examined.spooled > 0 {
        let what = format!("{} bytes wait in the spool", examined.spooled);
        add("spool", &what, "refwarden reconcile sends them");
    }
    if examined.unsettled > 0 {
        let what = format!("{} moves of killed pushes are in doubt", examined.unsettled);
        add("pushes", &what, "refwarden reconcile settles them");
    }
    for line in &examined.differs {
        add(
            "refs",
            line,
            "refwarden reconcile records it as out of band",
        );
    }
    found
}

fn tell(name: &str, path: &str, findings: &[Finding], as_json: bool) -> Outcome<()> {
    if as_json {
        let all: Vec<_> = findings
            .iter()
            .map(|one| json!({ "check": one.check, "what": one.what, "mend": one.mend }))
            .collect();
        return output::json(&json!({
            "repository": name, "path": path, "well": findings.is_empty(), "findings": all,
        }));
    }
    if findings.is_empty() {
        return output::line(&format!(
            "{name}: hooks, settings, programs, service, spool and refs are as they must be"
        ));
    }
    output::line(&format!("{name}:"))?;
    for Finding { check, what, mend } in findings {
        output::line(&format!("  {check:8} {}", printable(what)))?;
        output::line(&format!("           {mend}"))?;
    }
    Ok(())
}
