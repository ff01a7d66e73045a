//! The system's log (syslog(3)), for what the client must not read. Where there is none, it is
//! lost: a session does not fail for that.

use std::os::unix::net::UnixDatagram;

/// Where the log listens on Linux.
const SOCKET: &str = "/dev/log";

/// Facility `auth`, as sshd's own lines, and priority `err`: 4 × 8 + 3.
const PRIORITY: u8 = 35;

/// Longest line, in bytes.
const LINE_MAX: usize = 4096;

/// Writes one line.
pub fn error(text: &str) {
    let line: String = text.chars().filter(|it| !it.is_control()).collect();
    let line = line
        .get(..line.floor_char_boundary(LINE_MAX))
        .unwrap_or(&line);
    let told = format!(
        "<{PRIORITY}>refwarden-shell[{}]: {line}",
        std::process::id()
    );
    if let Ok(socket) = UnixDatagram::unbound() {
        // The log must not make anybody wait.
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(told.as_bytes(), SOCKET);
    }
}
