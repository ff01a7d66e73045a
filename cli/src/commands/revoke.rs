//! `refwarden revoke`.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refwarden_wire::api::{RevocationIn, RevocationOut};
use serde_json::Value;

use crate::api::Api;
use crate::args::Revoke;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Table};

/// Revokes a token or a person's tokens, or lists what was revoked.
pub fn run(args: &Revoke) -> Outcome {
    if args.list {
        return list(args);
    }
    let asked = asked(args)?;
    let api = Api::connect_as(&args.service, "adam")?;
    let done: RevocationOut = api.post("/api/v1/revocations", &asked)?;
    if args.json {
        output::json(&done)?;
    } else {
        let what = match (&done.token_id, &done.subject) {
            (Some(id), _) => format!("token {id}"),
            (None, Some(subject)) => format!("every token that {subject} was given until now"),
            (None, None) => "nothing".to_owned(),
        };
        output::line(&format!("Revoked: {what} (issuer {}).", done.issuer))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &Revoke) -> Outcome {
    let api = Api::connect(&args.service)?;
    let found: Vec<RevocationOut> = api.get("/api/v1/revocations", &[])?;
    if args.json {
        found.iter().try_for_each(output::json)?;
    } else if found.is_empty() {
        output::line("Nothing was revoked.")?;
    } else {
        let mut table = Table::new(["WHEN", "BY", "ISSUER", "WHAT", "WHY"]);
        for one in found {
            let what = match (one.token_id, one.subject) {
                (Some(id), _) => format!("token {id}"),
                (None, subject) => format!("all of {}", subject.unwrap_or_default()),
            };
            let when = one.revoked_at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
            table.row(&[when, one.revoked_by, one.issuer, what, one.reason]);
        }
        table.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn asked(args: &Revoke) -> Outcome<RevocationIn> {
    let reason = args.reason.clone().unwrap_or_default();
    let Some(token) = &args.token else {
        return Ok(RevocationIn {
            issuer: args.issuer.clone().unwrap_or_default(),
            token_id: None,
            subject: args.subject.clone(),
            reason,
        });
    };
    let bad = || Failure::new("this is no token").next("give the whole token, or --subject");
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| bad())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| bad())?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(RevocationIn {
        issuer: text("iss").ok_or_else(bad)?,
        token_id: Some(text("jti").ok_or_else(bad)?),
        subject: None,
        reason,
    })
}
