//! The login shell of the account that people and programs reach repositories with over SSH.

fn main() -> std::process::ExitCode {
    refwarden_hooks::shell()
}
