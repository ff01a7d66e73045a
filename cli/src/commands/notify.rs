//! `refwarden notify`.

use std::process::ExitCode;

use refwarden_wire::notify::{NotificationsOut, TestIn, TestOut};

use crate::api::Api;
use crate::args::{Notify, NotifyCommand, NotifyStatus, NotifyTest};
use crate::failure::Outcome;
use crate::output::{self, Table, printable};

/// Who sends test messages in a quick start.
const ADMINISTRATOR: &str = "adam";

/// Shows how channels stand, or tries one.
pub fn run(args: &Notify) -> Outcome {
    match &args.command {
        NotifyCommand::Status(args) => status(args),
        NotifyCommand::Test(args) => test(args),
    }
}

fn status(args: &NotifyStatus) -> Outcome {
    let api = Api::connect(&args.service)?;
    let found: NotificationsOut = api.get("/api/v1/notifications", &[])?;
    let failed = found.channels.iter().any(|it| it.failed > 0);
    if args.json {
        output::json(&found)?;
    } else if found.channels.is_empty() {
        output::line("No channels; see [notify] in refwarden.toml.")?;
    } else {
        let mut table = Table::new([
            "CHANNEL",
            "KIND",
            "DELIVERED",
            "PENDING",
            "FAILED",
            "SINCE",
            "LAST PROBLEM",
        ]);
        for one in found.channels {
            let since = one.oldest_pending;
            table.row(&[
                one.channel,
                one.kind,
                one.delivered.to_string(),
                one.pending.to_string(),
                one.failed.to_string(),
                since.map_or_else(String::new, |it| {
                    it.format("%Y-%m-%dT%H:%M:%SZ").to_string()
                }),
                one.last_problem.unwrap_or_default(),
            ]);
        }
        table.print()?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn test(args: &NotifyTest) -> Outcome {
    let api = Api::connect_as(&args.service, ADMINISTRATOR)?;
    let wanted = TestIn {
        channel: args.channel.clone(),
    };
    let said: TestOut = api.post("/api/v1/notifications/test", &wanted)?;
    if args.json {
        output::json(&said)?;
    } else {
        let how = if said.delivered {
            "delivered"
        } else {
            "not delivered"
        };
        output::line(&format!("{how}: {}", printable(&said.said)))?;
    }
    Ok(ExitCode::from(u8::from(!said.delivered)))
}
