//! Where lines go, as people write it. Pure.

use crate::ffi::*;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Stderr,
    Callback,
    /// The path of the daemon's socket.
    Syslog(String),
    /// A path in which %r stands for the role.
    File(String),
    Off,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let usable = |path: &str| path.starts_with('/') && !path.contains('\0');
        match text.split_once(':') {
            None => match text {
                "stderr" => Some(Target::Stderr),
                "callback" => Some(Target::Callback),
                "syslog" => Some(Target::Syslog("/dev/log".into())),
                "off" => Some(Target::Off),
                _ => None,
            },
            // A socket address has room for 107 bytes.
            Some(("syslog", path)) if usable(path) && path.len() < 108 => {
                Some(Target::Syslog(path.into()))
            }
            Some(("file", path)) if usable(path) => Some(Target::File(path.into())),
            Some(_) => None,
        }
    }
}

/// The file of this role. The host is the master before it runs.
pub(super) fn file_of(path: &str, role: u32) -> String {
    let role = if role == DTM_ROLE_HOST {
        DTM_ROLE_MASTER
    } else {
        role
    };
    path.replace("%r", crate::role::name(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert_eq!(Target::parse("stderr"), Some(Target::Stderr));
        assert_eq!(
            Target::parse("syslog"),
            Some(Target::Syslog("/dev/log".into()))
        );
        assert_eq!(
            Target::parse("syslog:/run/x"),
            Some(Target::Syslog("/run/x".into()))
        );
        assert_eq!(
            Target::parse("file:/a:b"),
            Some(Target::File("/a:b".into()))
        );
        let long = format!("syslog:/{}", "x".repeat(107));
        for bad in [
            "",
            "stdout",
            "file:",
            "file:x",
            "syslog:x",
            "off:",
            "file:/a\0",
            &long,
        ] {
            assert_eq!(Target::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_file_per_role() {
        assert_eq!(file_of("/x/%r.log", DTM_ROLE_WORKER), "/x/worker.log");
        assert_eq!(file_of("/x/%r-%r", DTM_ROLE_HOST), "/x/master-master");
        assert_eq!(file_of("/x/plain", DTM_ROLE_FUNC), "/x/plain");
    }
}
