//! The `pre-receive` hook.

fn main() -> std::process::ExitCode {
    refwarden_hooks::pre_receive()
}
