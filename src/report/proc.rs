//! What the kernel says of a process, for one that may not answer any more.

use std::fs::File;
use std::io::Read;

/// One file of /proc/PID, its first lines; empty if it cannot be had.
fn read(pid: i32, name: &str) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/{name}")) {
        let _ = file.take(8192).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// The value of a line of /proc/PID/status.
fn line<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    let rest = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(rest.trim())
}

/// State and threads, where it waits in the kernel, and in which system call.
pub(crate) fn status(pid: i32) -> (String, String, String) {
    let status = read(pid, "status");
    let mut process = line(&status, "State").unwrap_or("gone").to_owned();
    for (key, name) in [
        ("Threads", "threads"),
        ("VmRSS", "rss"),
        ("SigBlk", "blocked"),
    ] {
        if let Some(value) = line(&status, key) {
            process += &format!(", {name} {value}");
        }
    }
    if let Some(cpu) = cpu_ticks(&read(pid, "stat")) {
        process += &format!(", cpu {cpu} ticks");
    }
    let wchan = match read(pid, "wchan") {
        running if running == "0" => "-".into(),
        wchan => wchan,
    };
    (process, wchan, read(pid, "syscall"))
}

/// User and system time, of /proc/PID/stat. The name in it may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Does a debugger hold it?
pub(crate) fn is_traced(pid: i32) -> bool {
    line(&read(pid, "status"), "TracerPid").is_some_and(|tracer| tracer != "0")
}

/// Has a fatal signal begun to write its core? (Linux 4.15 and newer say so.)
pub(crate) fn dumps_core(pid: i32) -> bool {
    line(&read(pid, "status"), "CoreDumping").is_some_and(|dumping| dumping != "0")
}

/// What it uses of the machine's memory, in KiB: resident pages, those that it shares
/// counted in parts (PSS), for what it shares with the master would not be freed by its
/// end. The kernel adds that up slowly, so the cheap measure (RSS) is asked first: below
/// `least` that is the answer.
pub(crate) fn memory(pid: i32, least: u64) -> Option<u64> {
    let statm = read(pid, "statm");
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: a plain query.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let resident = pages * page / 1024;
    if resident < least {
        return Some(resident);
    }
    let rollup = read(pid, "smaps_rollup");
    let pss = line(&rollup, "Pss").and_then(|text| text.strip_suffix(" kB")?.trim().parse().ok());
    Some(pss.unwrap_or(resident))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_this_process() {
        let pid = nix::unistd::getpid().as_raw();
        let (process, _, _) = status(pid);
        assert!(
            process.contains("threads ") && process.contains("cpu "),
            "{process}"
        );
        let rss = memory(pid, u64::MAX).unwrap();
        let pss = memory(pid, 0).unwrap();
        assert!(rss > 100 && pss > 100);
        assert_eq!(memory(i32::MAX, 0), None);
        assert!(line(&read(pid, "status"), "CoreDumping") == Some("0") && !dumps_core(pid));
        assert_eq!(status(i32::MAX).0, "gone");
    }

    #[test]
    fn names_may_contain_anything() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 30 12 0";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (x"), None);
    }
}
