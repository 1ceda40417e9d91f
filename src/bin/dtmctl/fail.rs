//! What went wrong, and the exit code that says so to a script.

/// Exit codes. They are promised in docs/dtmctl.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done as asked.
    Done = 0,
    /// The service refused, or tried and failed; `status --check`: it does not serve.
    Failed = 1,
    /// The command line is wrong; nothing was done.
    Usage = 2,
    /// No service, no console there, or it went away before it answered.
    Connect = 3,
    /// A password or a permission is missing.
    Denied = 4,
    /// No answer in time; the command itself may still take effect.
    Timeout = 5,
    /// Ctrl-C, as shells count it: 128 + SIGINT.
    Interrupted = 130,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fail {
    pub(crate) code: Code,
    /// For people, without a full stop; empty: there is nobody to tell.
    pub(crate) text: String,
}

impl Fail {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// An error that the console answered: `CODE text`.
    pub(crate) fn answered(text: &str) -> Self {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "NOAUTH" => Self::new(
                Code::Denied,
                "the console asks for a password: DTMCTL_PASSWORD, --password-file, --askpass or -a",
            ),
            "WRONGPASS" => Self::new(Code::Denied, "wrong password"),
            "NOPERM" => Self::new(Code::Denied, rest),
            "GONE" if text.starts_with(crate::link::GONE) => Self::new(Code::Connect, rest),
            "ERR"
                if [
                    "wrong number of arguments",
                    "unknown command",
                    "unknown subcommand",
                ]
                .iter()
                .any(|start| rest.starts_with(start)) =>
            {
                Self::new(Code::Usage, rest)
            }
            "ERR" => Self::new(Code::Failed, rest),
            _ => Self::new(Code::Failed, text),
        }
    }
}

/// Writing to our own output failed: who reads `dtmctl events | head` has seen enough.
impl From<std::io::Error> for Fail {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Code::Done, ""),
            _ => Self::new(Code::Failed, format!("output: {error}")),
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, Fail>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_answers() {
        let code = |text| Fail::answered(text).code;
        assert_eq!(code("NOAUTH Authentication required."), Code::Denied);
        assert_eq!(code("WRONGPASS x"), Code::Denied);
        assert_eq!(code("NOPERM x"), Code::Denied);
        let replaced = "GONE this binary was replaced: connect again";
        assert_eq!(code(replaced), Code::Connect);
        assert_eq!(code("GONE there is no worker with slot 9"), Code::Failed);
        assert_eq!(
            Fail::answered("ERR no such"),
            Fail::new(Code::Failed, "no such")
        );
        assert_eq!(code("ERR unknown command 'x', try HELP"), Code::Usage);
        assert_eq!(
            Fail::answered("BUSY a reload runs").text,
            "BUSY a reload runs"
        );
    }
}
