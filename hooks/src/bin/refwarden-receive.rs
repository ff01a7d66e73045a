//! Takes a push from a masked clone, in place of `git receive-pack`. The proxy starts it.

fn main() -> std::process::ExitCode {
    refwarden_hooks::masked_receive()
}
