//! The `post-receive` hook.

fn main() -> std::process::ExitCode {
    refwarden_hooks::post_receive()
}
