//! `refwarden audit export`: the log's leaves, as they are hashed.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use crate::api::Api;
use crate::args::AuditExport;
use crate::failure::{Context as _, Outcome};
use crate::progress;

/// Copies what the service streams.
pub fn run(args: &AuditExport) -> Outcome {
    let api = Api::connect(&args.service)?;
    let mut query = vec![("from", args.from.to_string())];
    query.extend(args.to.map(|to| ("to", to.to_string())));
    let answer = api.fetch_long("/api/v1/log/leaves", &query)?;
    let mut answer = progress::bytes("export", None).wrap_read(answer);
    let what = || "the export cannot be written".to_owned();
    if let Some(path) = &args.out {
        let mut file =
            File::create(path).context(|| format!("{} cannot be made", path.display()))?;
        std::io::copy(&mut answer, &mut file).context(what)?;
        file.sync_all().context(what)?;
    } else {
        let mut out = std::io::stdout().lock();
        match std::io::copy(&mut answer, &mut out).and_then(|_| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.context(what)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
