//! The layers that settings come from, each over the one before: the C struct, the
//! `[dtm]` section of the service's file, and for the log the environment variable
//! LIBDTM_LOG. Defaults are filled in where all of them are silent.

use super::keys::{KEYS, TEXT_KEYS};
use super::{Settings, file};
use crate::error::Result;
use std::fs::File;

pub(super) fn merge(base: &Settings, read_file: bool, opened: Option<&File>) -> Result<Settings> {
    check(base)?;
    let mut settings = base.clone();
    if let (true, Some(path)) = (read_file, &base.config_file) {
        file::overlay(path, opened, &mut settings)?;
    }
    environment(&mut settings)?;
    Ok(settings)
}

/// The C struct's own values.
fn check(base: &Settings) -> Result<()> {
    const ORIGIN: &str = "dtm_config_t";
    for key in KEYS {
        let value = (key.get)(base);
        if value != 0 && !key.check(value) {
            return Err(key.error(ORIGIN, &key.show(value)));
        }
    }
    for key in TEXT_KEYS {
        if let Some(text) = (key.get)(base) {
            key.check(ORIGIN, text)?;
        }
    }
    Ok(())
}

/// LIBDTM_LOG=level[,target]
fn environment(settings: &mut Settings) -> Result<()> {
    const ORIGIN: &str = "LIBDTM_LOG";
    let Some(text) = settings.environment.take() else {
        return Ok(());
    };
    let (level, target) = match text.split_once(',') {
        Some((level, target)) => (level, Some(target)),
        None => (text.as_str(), None),
    };
    if let (false, Some(key)) = (
        level.is_empty(),
        KEYS.iter().find(|key| key.name == "log_level"),
    ) {
        settings.log_level = key.parse(level).ok_or_else(|| key.error(ORIGIN, level))?;
    }
    if let (Some(target), Some(key)) = (
        target,
        TEXT_KEYS.iter().find(|key| key.name == "log_target"),
    ) {
        key.check(ORIGIN, target)?;
        settings.log_target = Some(target.to_string());
    }
    Ok(())
}
