//! `refwarden audit witness`: a second signature under a checkpoint, by somebody else.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use refwarden_merkle::{SecretKey, verify_consistency};
use refwarden_wire::log::ConsistencyOut;

use super::{sources, text};
use crate::api::Api;
use crate::args::AuditWitness;
use crate::failure::{Context as _, Failure, Outcome};
use crate::output;

/// Signs the last checkpoint, if it continues the one that was signed before.
pub fn run(args: &AuditWitness) -> Outcome {
    let log = sources::key(&args.key)?;
    let secret = secret_key(&args.secret_key, &args.name)?;
    let api = Api::connect(&args.service)?;
    let note = format!("{}\n", text(&api, "/api/v1/log/checkpoint")?);
    let mut checkpoint = sources::checkpoint(&note, &log, "the service's checkpoint")?;
    if args.last.exists() {
        let shown = args.last.display().to_string();
        let last =
            std::fs::read_to_string(&args.last).context(|| format!("{shown} cannot be read"))?;
        let last = sources::checkpoint(&last, &log, &shown)?;
        last.note
            .verify(secret.public())
            .context(|| format!("{shown} was not signed by this witness"))?;
        let another = |why: String| {
            Failure::refused("not signed: the log is not the one that was signed before")
                .why(why)
                .next("keep both checkpoints: together they prove it")
        };
        if last.size > checkpoint.size {
            let why = format!("it had {} events, and has {}", last.size, checkpoint.size);
            return Err(another(why));
        }
        let query = [
            ("old", last.size.to_string()),
            ("new", checkpoint.size.to_string()),
        ];
        let proof: ConsistencyOut = api.get("/api/v1/log/consistency", &query)?;
        let proof = sources::hashes(&proof.proof)?;
        let (old, new) = (last.size, checkpoint.size);
        if !verify_consistency(old, last.root, new, checkpoint.root, &proof) {
            let why = format!("the checkpoints of sizes {old} and {new} are of two histories");
            return Err(another(why));
        }
    }
    let seconds = chrono::Utc::now().timestamp();
    checkpoint
        .note
        .sign(&secret, u64::try_from(seconds).unwrap_or_default());
    let signed = checkpoint.note.to_string();
    write(&args.last, &signed)?;
    output::line(signed.trim_end())?;
    output::line(&format!("Witness key: {}", secret.public()))?;
    Ok(ExitCode::SUCCESS)
}

fn secret_key(path: &Path, name: &str) -> Outcome<SecretKey> {
    let shown = path.display();
    if !path.exists() {
        let der = SecretKey::generate().context(|| "no key can be made".to_owned())?;
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(&der))
            .context(|| format!("{shown} cannot be made"))?;
    }
    let der = std::fs::read(path).context(|| format!("{shown} cannot be read"))?;
    SecretKey::of_witness(name, &der).context(|| format!("{shown} cannot be used"))
}

/// Replaces the file whole: half a note would be no note to the next run.
fn write(path: &Path, text: &str) -> Outcome<()> {
    let new = path.with_extension("new");
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    });
    written.context(|| format!("{} cannot be written", path.display()))
}
