//! `refwarden scan --rules`.

use std::process::ExitCode;

use refwarden_scan::Ruleset;
use serde::Serialize;
use serde_json::json;

use crate::failure::Outcome;
use crate::output::{self, Table};

#[derive(Serialize)]
struct Rule<'r> {
    id: &'r str,
    provider: &'r str,
    description: &'r str,
    severity: String,
    confidence: String,
    keywords: &'r [String],
    pattern: &'r str,
    source: &'r str,
}

/// Lists the rules, in order of id.
pub fn list(ruleset: &Ruleset, as_json: bool) -> Outcome {
    if as_json {
        for rule in ruleset.rules() {
            output::json(&Rule {
                id: rule.id(),
                provider: rule.provider(),
                description: rule.description(),
                severity: rule.severity().to_string(),
                confidence: rule.confidence().to_string(),
                keywords: rule.keywords(),
                pattern: rule.pattern(),
                source: rule.source(),
            })?;
        }
        for rule in ruleset.gitleaks_rules() {
            output::json(&json!({
                "id": rule.id,
                "provider": "gitleaks.toml",
                "description": rule.description,
                "keywords": rule.keywords,
                "tags": rule.tags,
            }))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["RULE", "PROVIDER", "SEVERITY", "CONFIDENCE", "FINDS"]);
    for rule in ruleset.rules() {
        table.row(&[
            rule.id().to_owned(),
            rule.provider().to_owned(),
            rule.severity().to_string(),
            rule.confidence().to_string(),
            rule.description().to_owned(),
        ]);
    }
    for rule in ruleset.gitleaks_rules() {
        let (id, what) = (rule.id.to_owned(), rule.description.to_owned());
        let provider = "gitleaks.toml".to_owned();
        table.row(&[id, provider, "high".into(), String::new(), what]);
    }
    table.print()?;
    let count = ruleset.rules().count() + ruleset.gitleaks_rules().count();
    output::line(&format!("{count} rules, ruleset {}", ruleset.id()))?;
    Ok(ExitCode::SUCCESS)
}
