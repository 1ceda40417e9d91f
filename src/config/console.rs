//! Settings of the ready-made console, and what CONFIG GET shows.

use super::keys::{KEYS, TEXT_KEYS};
use super::{Config, Settings};
use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Console {
    pub(crate) remote: bool,
    pub(crate) clients: u32,
    /// DTM_OFF: never.
    pub(crate) timeout_ms: u32,
    /// As it was written; `None`: root and the service's own user.
    pub(crate) operators: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) metrics: Option<String>,
}

impl Console {
    pub(super) fn of(values: &Settings) -> Self {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            remote: values.control_remote == 1,
            clients: values.control_clients,
            timeout_ms: values.control_timeout_ms,
            operators: some(&values.control_operators),
            password: some(&values.control_password),
            metrics: some(&values.metrics_listen),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.remote && self.password.is_none() {
            return Err(Error::config(
                "control_remote = yes: needs a control_password, or everybody who reaches the \
                 port could stop the service",
            ));
        }
        Ok(())
    }
}

/// Texts that nobody is shown.
const SECRET: &[&str] = &["control_password"];

impl Config {
    /// Every key with its value in force, as a file would say it. What is not set is
    /// an empty text.
    pub(crate) fn show(&self) -> Vec<(&'static str, String)> {
        let numbers = KEYS.iter().map(|key| {
            let value = (key.get)(&self.values);
            (key.name, key.show(value))
        });
        let texts = TEXT_KEYS.iter().map(|key| {
            let text = (key.get)(&self.values).unwrap_or("");
            let secret = SECRET.contains(&key.name) && !text.is_empty();
            (key.name, if secret { "(set)" } else { text }.to_owned())
        });
        numbers.chain(texts).collect()
    }

    /// A value for a key as a file would say it; the error names what is allowed.
    pub(crate) fn parse_value(name: &str, text: &str) -> Result<u32> {
        let key = KEYS.iter().find(|key| key.name == name);
        let key = key.ok_or_else(|| Error::config(format!("{name}: no such key")))?;
        key.parse(text).ok_or_else(|| key.error("CONFIG SET", text))
    }

    /// The name of a value of such a key.
    pub(crate) fn show_value(name: &str, value: u32) -> String {
        let key = KEYS.iter().find(|key| key.name == name);
        key.map_or_else(|| value.to_string(), |key| key.show(value))
    }

    pub(crate) fn is_key(name: &str) -> bool {
        KEYS.iter().any(|key| key.name == name) || TEXT_KEYS.iter().any(|key| key.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::DTM_OFF;

    #[test]
    fn a_remote_console_needs_a_password() {
        let mut values = Settings {
            control_remote: 1,
            ..Settings::default()
        };
        let error = Console::of(&values).check().unwrap_err();
        assert!(error.text.contains("control_password"), "{}", error.text);
        values.control_password = Some(String::new());
        assert!(Console::of(&values).check().is_err());
        values.control_password = Some("secret".into());
        assert!(Console::of(&values).check().is_ok());
    }

    #[test]
    fn all_keys_are_shown_and_secrets_are_not() {
        let values = Settings {
            control_password: Some("secret".into()),
            client_timeout_ms: DTM_OFF,
            ..Settings::default()
        };
        let shown = Config::load(&values, false).unwrap().show();
        assert_eq!(shown.len(), KEYS.len() + TEXT_KEYS.len());
        let of = |name: &str| shown.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        assert_eq!(of("control_password"), "(set)");
        assert_eq!(of("drain_timeout"), "30s");
        assert_eq!(of("client_timeout"), "off");
        assert_eq!(of("accept_mode"), "auto");
        assert!(Config::is_key("log_target") && !Config::is_key("log"));
        assert_eq!(Config::parse_value("log_level", "debug").unwrap(), 4);
        assert!(Config::parse_value("log_level", "loud").is_err());
    }
}
