//! The `reference-transaction` hook.

fn main() -> std::process::ExitCode {
    refwarden_hooks::reference_transaction()
}
