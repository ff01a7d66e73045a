//! Time on a processor that programs have spent, from `/proc/PID/stat` (proc(5), fields 4 and 14
//! to 17), in hundredths of a second.

/// What is read of a process.
struct Stat {
    parent: i32,
    own: u64,
    of_ended_children: u64,
}

fn stat(pid: &str) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: number(11)? + number(12)?,
        of_ended_children: number(13)? + number(14)?,
    })
}

/// Of a process and its children, those that have ended with them.
pub fn family(pid: i32) -> u64 {
    let children = std::fs::read_dir("/proc").unwrap().flatten();
    let children = children.filter_map(|entry| stat(&entry.file_name().to_string_lossy()));
    let alive: u64 = children
        .filter(|child| child.parent == pid)
        .map(|child| child.own)
        .sum();
    let own = stat(&pid.to_string()).unwrap();
    own.own + own.of_ended_children + alive
}

/// Of this process alone, and of its children that have ended.
pub fn this() -> (u64, u64) {
    let own = stat("self").unwrap();
    (own.own, own.of_ended_children)
}
