//! Capabilities by name, and how a process keeps only some of them. nix and libc have
//! no calls for them.

use crate::error::{Error, Result};

/// In the kernel's order: the place is the number.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

pub(crate) const SYS_CHROOT: u64 = 1 << 18;
pub(crate) const SYS_RESOURCE: u64 = 1 << 24;
pub(crate) const SYS_NICE: u64 = 1 << 23;
pub(crate) const SETUID: u64 = 1 << 7;
pub(crate) const SETGID: u64 = 1 << 6;
pub(crate) const SETPCAP: u64 = 1 << 8;

pub(crate) const FORM: &str =
    "none, or names such as cap_net_bind_service, cap_net_raw (see capabilities(7))";

/// A set as bits. Names with or without `cap_`, with commas or blanks between them.
pub(crate) fn parse(text: &str) -> Option<u64> {
    if text == "none" {
        return Some(0);
    }
    let mut set = 0;
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        let word = word.to_ascii_lowercase();
        let name = word.strip_prefix("cap_").unwrap_or(&word);
        set |= 1 << NAMES.iter().position(|known| *known == name)?;
    }
    (set != 0).then_some(set)
}

pub(crate) fn show(set: u64) -> String {
    let names = NAMES.iter().enumerate().filter(|(n, _)| set >> n & 1 == 1);
    let names: Vec<String> = names.map(|(_, name)| format!("cap_{name}")).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

/// capget(2) and capset(2), version 3: two words for each set.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// What this process may do.
pub(crate) fn permitted() -> u64 {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    // SAFETY: both live during the call and have the layout that the version names.
    let code = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    if code != 0 {
        return 0;
    }
    u64::from(data[1].permitted) << 32 | u64::from(data[0].permitted)
}

/// From now on these and no others; nothing is passed on over exec.
pub(crate) fn limit_to(set: u64) -> Result<()> {
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| {
        let word = u32::try_from(set >> shift & 0xffff_ffff).unwrap_or(0);
        Data {
            effective: word,
            permitted: word,
            inheritable: 0,
        }
    };
    let data = [half(0), half(32)];
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) } != 0 {
        return Err(Error::last_os("capset"));
    }
    Ok(())
}

/// What even a program with file capabilities, or set-user-ID root, cannot get back.
pub(crate) fn bound_to(set: u64) -> Result<()> {
    for number in (0..64).filter(|n| set >> n & 1 == 0) {
        // SAFETY: a plain prctl with integer arguments.
        let code = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        // EINVAL: this kernel knows no more of them.
        if code != 0 && nix::errno::Errno::last() == nix::errno::Errno::EINVAL {
            return Ok(());
        }
        if code != 0 {
            return Err(Error::last_os("prctl(PR_CAPBSET_DROP)"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse("net_raw"), Some(1 << 13));
        assert_eq!(parse("CAP_NET_RAW, cap_bpf"), Some(1 << 13 | 1 << 39));
        assert_eq!(parse("none"), Some(0));
        for bad in ["", ",", "root", "cap_", "none,chown"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert_eq!(show(1 << 13 | 1 << 10), "cap_net_bind_service, cap_net_raw");
        assert_eq!(show(0), "none");
        for (bit, name) in [
            (SYS_CHROOT, "sys_chroot"),
            (SYS_RESOURCE, "sys_resource"),
            (SYS_NICE, "sys_nice"),
            (SETUID, "setuid"),
            (SETGID, "setgid"),
            (SETPCAP, "setpcap"),
        ] {
            assert_eq!(parse(name), Some(bit));
        }
    }

    #[test]
    fn the_kernel_agrees() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("CapPrm:\t"));
        let mine = u64::from_str_radix(line.unwrap(), 16).unwrap();
        assert_eq!(permitted(), mine);
    }
}
