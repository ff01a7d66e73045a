//! Makes the pack of a fetch, in place of `git pack-objects`, and has it recorded. `upload-pack`
//! starts it.

fn main() -> std::process::ExitCode {
    refwarden_hooks::pack_objects()
}
