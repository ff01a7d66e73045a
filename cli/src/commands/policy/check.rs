//! `refwarden policy check`.

use std::process::ExitCode;

use serde_json::json;

use super::files;
use crate::args::PolicyCheck;
use crate::failure::Outcome;
use crate::output::{self, printable};

/// Parses, and lists warnings.
pub fn run(args: &PolicyCheck) -> Outcome {
    let policy = files::policy(&args.files)?;
    let warnings = policy.warnings();
    let code = ExitCode::from(u8::from(!warnings.is_empty()));
    if args.json {
        output::json(&json!({
            "hash": policy.hash(),
            "rules": policy.rules.len(),
            "views": policy.views.rules.len(),
            "warnings": warnings,
        }))?;
        return Ok(code);
    }
    for warning in &warnings {
        output::line(&format!("warning: {}", printable(&warning.to_string())))?;
    }
    let said = match warnings.len() {
        0 => "no warnings".to_owned(),
        1 => "1 warning".to_owned(),
        more => format!("{more} warnings"),
    };
    let views = match policy.views.rules.len() {
        0 => String::new(),
        1 => ", 1 view".to_owned(),
        more => format!(", {more} views"),
    };
    output::line(&format!(
        "{} rules{views}, {said}; hash {}",
        policy.rules.len(),
        policy.hash()
    ))?;
    Ok(code)
}
