//! A clone made and kept by gitoxide, which has no push. The token is in TOKEN.
//!
//! `clone URL DIR [DEPTH]` or `fetch DIR`.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;

use gix::progress::Discard;
use gix::remote::Direction;
use gix::remote::fetch::Shallow;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let token = std::env::var("TOKEN")?;
    let header = format!("http.extraHeader=Authorization: Bearer {token}");
    // For its reflogs.
    let (name, email) = ("committer.name=Ada", "committer.email=ada@example.org");
    let options = gix::open::Options::isolated();
    let options = options.config_overrides([&*header, name, email]);
    let stop = AtomicBool::new(false);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["clone", url, directory, ref depth @ ..] => {
            let kind = gix::create::Kind::WithWorktree;
            let create = gix::create::Options::default();
            let mut clone = gix::clone::PrepareFetch::new(url, directory, kind, create, options)?;
            if let [depth] = depth {
                let depth: NonZeroU32 = depth.parse()?;
                clone = clone.with_shallow(Shallow::DepthAtRemote(depth));
            }
            let (mut checkout, _) = clone.fetch_then_checkout(Discard, &stop)?;
            checkout.main_worktree(Discard, &stop)?;
        }
        ["fetch", directory] => {
            let repository = gix::open_opts(directory, options)?;
            let remote = repository.find_remote("origin")?;
            let connection = remote.connect(Direction::Fetch)?;
            let fetch = connection.prepare_fetch(Discard, Default::default())?;
            fetch.receive(Discard, &stop)?;
        }
        _ => return Err("clone URL DIR [DEPTH], or fetch DIR".into()),
    }
    Ok(())
}
