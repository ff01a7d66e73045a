//! `refwarden status`.

use std::process::ExitCode;

use super::up::report::Report;
use crate::args::Status;
use crate::failure::Outcome;
use crate::layout::DataDir;
use crate::output;

/// Says what runs.
pub fn run(args: &Status) -> Outcome {
    let dir = DataDir::resolve(&args.dir.data_dir)?;
    let report = Report::read(&dir)?;
    let running = report.is_running() && report.answers();
    if args.json {
        let mut value = serde_json::to_value(&report).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.insert("running".to_owned(), running.into());
        }
        output::json(&value)?;
    } else {
        let pids = &report.pids;
        for (part, pid) in [
            ("postgres", pids.postgres),
            ("service", pids.service),
            ("proxy", pids.proxy),
            ("reconciler", pids.reconciler),
        ] {
            let state = match pid {
                Some(pid) => format!("runs as process {pid}"),
                None if part == "postgres" && !report.private_postgres => {
                    "is somebody else's server".to_owned()
                }
                None => "does not run".to_owned(),
            };
            output::line(&format!("{part:10} {state}"))?;
        }
        if running {
            output::line(&format!("service    {}", report.service_url))?;
            output::line(&format!("proxy      {}", report.proxy_url))?;
        }
        output::line(&format!("sign-ins   {}", report.identities_file))?;
    }
    Ok(ExitCode::from(u8::from(!running)))
}
