//! The keys of a daemon, checked where they can be: in the host, as it is when it starts.

use super::account::{self, Account};
use super::affinity::{self, Affinity};
use super::capability::{self, SYS_CHROOT, SYS_NICE, SYS_RESOURCE};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::ffi::DTM_OFF;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// `None` and false: as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) daemonize: bool,
    pub(crate) titles: bool,
    pub(crate) pid_file: Option<String>,
    pub(crate) nofile: Option<u64>,
    working_dir: Option<String>,
    pub(crate) core_dir: Option<String>,
    pub(crate) account: Option<Account>,
    pub(crate) chroot: Option<String>,
    pub(crate) capabilities: Option<u64>,
    pub(crate) core: Option<u64>,
    pub(crate) nice: i32,
    pub(crate) umask: Option<u32>,
    pub(crate) affinity: Option<Affinity>,
}

impl Options {
    pub(crate) fn new(values: &Settings) -> Result<Self> {
        let mine = capability::permitted();
        let options = Self {
            daemonize: values.daemonize == 1,
            titles: values.process_titles != DTM_OFF,
            pid_file: values.pid_file.clone(),
            nofile: nofile(values.rlimit_nofile, mine)?,
            working_dir: directory("working_dir", values.working_dir.as_deref())?,
            // Below a chroot, which the host does not see as the children do.
            core_dir: match &values.chroot {
                Some(_) => values.core_dir.clone(),
                None => directory("core_dir", values.core_dir.as_deref())?,
            },
            account: account::find(values.user.as_deref(), values.group.as_deref())?,
            chroot: chroot(values.chroot.as_deref(), mine)?,
            capabilities: capabilities(values.capabilities.as_deref(), mine)?,
            core: core(values.rlimit_core_mib, mine)?,
            nice: nice(values.nice.cast_signed(), mine)?,
            umask: values
                .umask
                .as_deref()
                .and_then(|text| u32::from_str_radix(text, 8).ok()),
            affinity: cpus(values.cpu_affinity.as_deref())?,
        };
        if let (Some(chroot), Some(core_dir)) = (&options.chroot, &options.core_dir) {
            let inside = format!("{chroot}{core_dir}");
            directory("core_dir below chroot", Some(&inside))?;
        }
        if options.daemonize && values.log_target.as_deref().is_none_or(|t| t == "stderr") {
            return Err(Error::config(
                "daemonize = yes: log_target = stderr: must be callback, syslog, file:/path or off, \
                 as the background has no stderr",
            ));
        }
        Ok(options)
    }

    /// The working directory of all processes. A daemon holds none by accident, so that
    /// nothing that is mounted is kept busy.
    pub(crate) fn directory(&self) -> Option<&str> {
        let default = self.daemonize.then_some("/");
        self.working_dir.as_deref().or(default)
    }
}

fn must(key: &str, value: impl std::fmt::Display, allowed: impl std::fmt::Display) -> Error {
    Error::config(format!("{key} = {value}: must be {allowed}"))
}

fn directory(key: &str, path: Option<&str>) -> Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(Some(path.to_owned())),
        Ok(_) => Err(must(key, path, "a directory")),
        Err(error) => Err(must(key, path, format_args!("a directory ({error})"))),
    }
}

fn chroot(path: Option<&str>, mine: u64) -> Result<Option<String>> {
    let path = directory("chroot", path)?;
    match path {
        Some(path) if mine & SYS_CHROOT == 0 => Err(must(
            "chroot",
            path,
            "unset, as only root (cap_sys_chroot) can change it",
        )),
        path => Ok(path.map(|path| path.trim_end_matches('/').to_owned())),
    }
}

fn nofile(wanted: u32, mine: u64) -> Result<Option<u64>> {
    if wanted == 0 {
        return Ok(None);
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    // Even root can have no more than this.
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let most = most
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1 << 20);
    let most = if mine & SYS_RESOURCE != 0 { most } else { hard };
    if u64::from(wanted) > most {
        let why = format!("at most {most}, which is the hard limit here (fs.nr_open for root)");
        return Err(must("rlimit_nofile", wanted, why));
    }
    Ok(Some(wanted.into()))
}

fn core(mib: u32, mine: u64) -> Result<Option<u64>> {
    let wanted = match mib {
        0 => return Ok(None),
        DTM_OFF => RLIM_INFINITY,
        mib => u64::from(mib) << 20,
    };
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap_or((0, 0));
    if wanted > hard && mine & SYS_RESOURCE == 0 {
        let value = if mib == DTM_OFF {
            "off".into()
        } else {
            format!("{mib}m")
        };
        return Err(must(
            "rlimit_core",
            value,
            format_args!("at most {} MiB, the hard limit", hard >> 20),
        ));
    }
    Ok(Some(wanted))
}

fn nice(wanted: i32, mine: u64) -> Result<i32> {
    // SAFETY: a plain query; -1 is a valid answer, too.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // RLIMIT_NICE counts upwards from 20 - nice.
    let (soft, _) = getrlimit(Resource::RLIMIT_NICE).unwrap_or((0, 0));
    let least = (20 - i32::try_from(soft.min(40)).unwrap_or(0)).min(now);
    if wanted != 0 && wanted < least && mine & SYS_NICE == 0 {
        let why = format!("{least} or more without root (cap_sys_nice)");
        return Err(must("nice", wanted, why));
    }
    Ok(wanted)
}

fn capabilities(text: Option<&str>, mine: u64) -> Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    let wanted =
        capability::parse(text).ok_or_else(|| must("capabilities", text, capability::FORM))?;
    if wanted & !mine != 0 {
        let has = capability::show(mine);
        let lacks = capability::show(wanted & !mine);
        let why = format!("some that this process has itself ({has}); it lacks {lacks}");
        return Err(must("capabilities", text, why));
    }
    Ok(Some(wanted))
}

fn cpus(text: Option<&str>) -> Result<Option<Affinity>> {
    let Some(text) = text else { return Ok(None) };
    let affinity =
        affinity::parse(text).ok_or_else(|| must("cpu_affinity", text, affinity::FORM))?;
    let allowed = affinity::allowed();
    match affinity.as_ref().and_then(|a| a.foreign(&allowed)) {
        Some(cpu) => {
            let why =
                format!("some of the CPUs that this process may use, {allowed:?}; {cpu} is not");
            Err(must("cpu_affinity", text, why))
        }
        None => Ok(affinity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(settings: Settings) -> String {
        Options::new(&settings).unwrap_err().text.into_owned()
    }

    fn with(set: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        set(&mut settings);
        settings
    }

    #[test]
    fn nothing_is_changed_by_default() {
        let options = Options::new(&Settings::default()).unwrap();
        let default = Options {
            titles: true,
            ..Options::default()
        };
        assert_eq!(options.directory(), None);
        assert_eq!(options, default);
    }

    #[test]
    fn complaints_name_key_value_and_what_is_allowed() {
        let text = complaint(with(|s| s.working_dir = Some("/nonexistent".into())));
        assert_eq!(
            text,
            "working_dir = /nonexistent: must be a directory (No such file or directory (os error 2))"
        );
        let text = complaint(with(|s| s.core_dir = Some("/dev/null".into())));
        assert_eq!(text, "core_dir = /dev/null: must be a directory");
        let text = complaint(with(|s| s.rlimit_nofile = u32::MAX - 1));
        assert!(
            text.starts_with("rlimit_nofile = 4294967294: must be at most "),
            "{text}"
        );
        let text = complaint(with(|s| s.cpu_affinity = Some("0;1023".into())));
        assert!(
            text.contains("cpu_affinity = 0;1023: must be some of the CPUs"),
            "{text}"
        );
        let text = complaint(with(|s| s.daemonize = 1));
        assert!(
            text.starts_with("daemonize = yes: log_target = stderr: must be"),
            "{text}"
        );
        assert!(
            nice(-20, 0) // whatever this process has, it is hardly that
                .unwrap_err()
                .text
                .starts_with("nice = -20: must be")
        );
        assert!(
            capabilities(Some("net_raw"), 0)
                .unwrap_err()
                .text
                .contains("it lacks cap_net_raw")
        );
        assert!(
            chroot(Some("/"), 0)
                .unwrap_err()
                .text
                .starts_with("chroot = /: must be unset")
        );
    }

    #[test]
    fn a_daemon_leaves_the_directory_that_it_was_started_in() {
        let settings = with(|s| {
            s.daemonize = 1;
            s.log_target = Some("off".into());
        });
        assert_eq!(Options::new(&settings).unwrap().directory(), Some("/"));
    }
}
