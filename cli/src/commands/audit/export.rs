//! `refwarden audit export`: the log's leaves as they are hashed, or events in other tools'
//! formats. The service makes them; this copies.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use clap::ValueEnum as _;

use crate::api::Api;
use crate::args::{AuditExport, ExportFormat};
use crate::failure::{Context as _, Failure, Outcome};
use crate::progress;

/// Copies what the service streams.
pub fn run(args: &AuditExport) -> Outcome {
    let (path, query) = asked(args)?;
    let api = Api::connect(&args.service)?;
    let answer = api.fetch_long(path, &query)?;
    let mut answer = progress::bytes("export", None).wrap_read(answer);
    let what = || "the export cannot be written".to_owned();
    if let Some(path) = args.out.as_ref().filter(|path| is_plain(path)) {
        // Half an export would look like a whole one.
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
        let shown = path.display();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = directory.unwrap_or(std::path::Path::new(".")).join(name);
        let written = File::create_new(&part)
            .and_then(|mut file| {
                std::io::copy(&mut answer, &mut file)?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&part, path));
        if written.is_err() {
            // What is left of it is of no use; why it failed is said below.
            let _ = std::fs::remove_file(&part);
        }
        written.context(|| format!("{shown} cannot be written"))?;
    } else if let Some(path) = &args.out {
        let shown = path.display();
        let mut file = File::options().write(true).open(path);
        let written = file.as_mut().map(|file| std::io::copy(&mut answer, file));
        match written {
            Ok(written) => written.context(|| format!("{shown} cannot be written"))?,
            Err(error) => return Err(Failure::new(format!("{shown} cannot be opened")).why(error)),
        };
    } else {
        let mut out = std::io::stdout().lock();
        match std::io::copy(&mut answer, &mut out).and_then(|_| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.context(what)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a file can be put in the place of what is there: not in that of a pipe or a device.
fn is_plain(path: &std::path::Path) -> bool {
    std::fs::metadata(path).map_or(true, |found| found.is_file())
}

/// What the service is asked for.
fn asked(args: &AuditExport) -> Outcome<(&'static str, Vec<(&'static str, String)>)> {
    if args.format == ExportFormat::Leaves {
        if args.query.is_some() {
            let failure =
                Failure::new("leaves are exported all together, since they are proved so");
            return Err(failure.next("leave out -q, or give another --format"));
        }
        let mut query = vec![("from", args.from.to_string())];
        query.extend(args.to.map(|to| ("to", to.to_string())));
        return Ok(("/api/v1/log/leaves", query));
    }
    if args.from != 0 || args.to.is_some() {
        let failure = Failure::new("--from and --to count leaves, and this is another format");
        return Err(failure.next("say which events with -q"));
    }
    let format = args.format.to_possible_value();
    let format = format
        .map(|it| it.get_name().to_owned())
        .unwrap_or_default();
    let query = args.query.clone().unwrap_or_default();
    Ok((
        "/api/v1/events/export",
        vec![("format", format), ("q", query)],
    ))
}
