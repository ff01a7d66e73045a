//! `refwarden doctor`: every check says what is wrong and how to mend it.

use std::process::ExitCode;

use refwarden_hooks::reconcile::{Examined, examine};
use serde_json::json;

use super::reconcile::{repositories, roots};
use crate::args::Doctor;
use crate::failure::{Failure, Outcome};
use crate::output::{self, printable};

/// What was found, and what to do about it.
struct Finding {
    check: &'static str,
    what: String,
    mend: &'static str,
}

/// Looks at each repository.
pub fn run(args: &Doctor) -> Outcome {
    let found = repositories(&roots(&args.paths, args.data_dir.as_ref())?);
    if found.is_empty() {
        return Err(Failure::refused("no repository is under guard here")
            .next("refwarden install puts one under guard"));
    }
    let mut code = 0;
    for path in found {
        let shown = printable(&path.to_string_lossy());
        let examined = examine(&path)
            .map_err(|why| Failure::new(format!("{shown} cannot be looked at")).why(why))?;
        let findings = findings(&examined);
        code = code.max(u8::from(!findings.is_empty()));
        tell(&examined.name, &shown, &findings, args.json)?;
    }
    Ok(ExitCode::from(code))
}

fn findings(examined: &Examined) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |check, what, mend| found.push(Finding { check, what, mend });
    for defect in &examined.defects {
        let mend = "refwarden install puts hooks and settings right";
        add("guard", defect.clone(), mend);
    }
    if let Some(why) = &examined.unreachable {
        let mend = "start the service, or mend service_url and the credential in hook.toml";
        add("service", why.clone(), mend);
    }
    if let Some(why) = &examined.rules {
        let mend =
            "mend that file and restart the service, or bring hooks and service to one version";
        add("rules", why.clone(), mend);
    }
    if examined.spooled > 0 {
        let what = format!("{} bytes wait in the spool", examined.spooled);
        add("spool", what, "refwarden reconcile sends them");
    }
    if examined.unsettled > 0 {
        let what = format!("{} moves of killed pushes are in doubt", examined.unsettled);
        add("pushes", what, "refwarden reconcile settles them");
    }
    for line in &examined.differs {
        let mend = "refwarden reconcile records it as out of band";
        add("refs", line.clone(), mend);
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
            "{name}: hooks, settings, service, spool and refs are as they must be"
        ));
    }
    output::line(&format!("{name}:"))?;
    for Finding { check, what, mend } in findings {
        output::line(&format!("  {check:8} {}", printable(what)))?;
        output::line(&format!("           {mend}"))?;
    }
    Ok(())
}
