//! What a host registers before dtm_run(): listeners and funcs, read from C.

use super::abi::read_struct;
use super::{consts::*, types::*};
use crate::action::{ATTEMPTS, Action, Calls};
use crate::error::{Error, Result};
use crate::func::Func;
use crate::master::policy::Restart;
use crate::net::{ListenSpec, Listener, Use};
use crate::runtime::Runtime;
use crate::store::Plugin;
use std::ffi::{CStr, CString, c_char};

/// The least a caller brings: everything behind it has a default.
const LISTEN_MIN: usize = std::mem::offset_of!(dtm_listen_t, backlog);
const FUNC_MIN: usize = std::mem::offset_of!(dtm_func_t, message);

/// A caller's string.
///
/// # Safety
/// NULL or terminated.
pub(super) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(Error::invalid(format!("{name} is NULL")));
    }
    // SAFETY: terminated, by contract.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| Error::invalid(format!("{name} is not UTF-8")))
}

/// dtm_listen(), dtm_listen_control()
///
/// # Safety
/// A struct as the header asks for.
pub(super) unsafe fn listener(
    rt: &Runtime,
    listen: *const dtm_listen_t,
    control: bool,
) -> Result<i32> {
    if control {
        rt.check_fresh()?;
    }
    // SAFETY: by contract.
    let spec = unsafe { read_struct(listen, LISTEN_MIN) }?;
    if spec.flags != 0 {
        return Err(Error::invalid(format!(
            "listen.flags = {:#x}: unknown bits",
            spec.flags
        )));
    }
    if control && rt.has_control() {
        return Err(Error::new(
            DTM_ESTATE,
            "there is a control listener already",
        ));
    }
    // SAFETY: NULL or terminated, by contract.
    let address = unsafe { text(spec.address, "listen.address") }?.to_owned();
    if control && rt.callbacks.control_step.is_none() {
        crate::console::check_place(&address, &rt.config().console)?;
    }
    let (tag, backlog, mode) = (spec.tag, spec.backlog, spec.mode);
    let spec = ListenSpec {
        address,
        tag,
        backlog,
        mode,
        used: if control { Use::Control } else { Use::Service },
    };
    if !control {
        return rt.listen(&spec);
    }
    let listener = Listener::bind(&spec, &rt.inherited)?;
    if let Some(account) = &rt.config().daemon.account {
        listener.give_to(account)?;
    }
    rt.set_control(listener);
    Ok(0)
}

/// dtm_func_register()
///
/// # Safety
/// A struct as the header asks for.
pub(super) unsafe fn func(rt: &Runtime, func: *const dtm_func_t) -> Result<i32> {
    rt.check_fresh()?;
    // SAFETY: by contract.
    let func = unsafe { read_struct(func, FUNC_MIN) }?;
    // SAFETY: NULL or terminated, by contract.
    let name = unsafe { text(func.name, "func.name") }?.to_owned();
    let restart = match func.restart {
        DTM_RESTART_ALWAYS => Restart::Always,
        DTM_RESTART_ON_FAILURE => Restart::OnFailure,
        DTM_RESTART_ONCE => Restart::Once,
        DTM_RESTART_DETACHED => Restart::Detached,
        other => {
            return Err(Error::invalid(format!(
                "func.restart = {other}: must be DTM_RESTART_*"
            )));
        }
    };
    let phases = [DTM_PHASE_BEFORE_WORKERS, DTM_PHASE_AFTER_OPEN];
    if !phases.contains(&func.phase) {
        return Err(Error::invalid("func.phase must be DTM_PHASE_*"));
    }
    let func = Func {
        name,
        count: func.count.max(1),
        restart,
        after_open: func.phase == DTM_PHASE_AFTER_OPEN,
        interval: (func.restart_ms != 0).then_some(func.restart_ms.into()),
        main: func
            .main
            .ok_or_else(|| Error::invalid("func.main is NULL"))?,
        message: func.message,
        data: func.data,
    };
    let mut funcs = rt.funcs.borrow_mut();
    funcs.push(func);
    Ok(i32::try_from(funcs.len() - 1).unwrap_or(0))
}

/// What the caller must bring at least: the action's callback; a store's `write`.
const ACTION_MIN: usize = std::mem::offset_of!(dtm_action_t, failed);
const STORE_MIN: usize = std::mem::offset_of!(dtm_store_t, begin);

/// dtm_action_register()
///
/// # Safety
/// A struct as the header asks for.
pub(super) unsafe fn action(rt: &Runtime, action: *const dtm_action_t) -> Result<()> {
    rt.check_fresh()?;
    // SAFETY: by contract.
    let action = unsafe { read_struct(action, ACTION_MIN) }?;
    // SAFETY: NULL or terminated, by contract.
    let name = unsafe { text(action.name, "action.name") }?.to_owned();
    let letter = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    if !(1..=32).contains(&name.len()) || !name.bytes().all(letter) {
        let text = format!("action.name = {name}: 1..32 letters, digits, `.`, `_` or `-`");
        return Err(Error::invalid(text));
    }
    if name.starts_with("dtm-") {
        return Err(Error::invalid(format!(
            "action.name = {name}: `dtm-` is libdtm's"
        )));
    }
    if action.phases == 0 || action.phases > PHASES_MAX {
        let text = format!("action.phases = {}: 1..{PHASES_MAX}", action.phases);
        return Err(Error::invalid(text));
    }
    if action.action.is_none() {
        return Err(Error::invalid("action.action is NULL"));
    }
    rt.registered.add(Action {
        c_name: CString::new(name.clone()).unwrap_or_default(),
        name,
        phases: action.phases,
        attempts: match action.attempts {
            0 => ATTEMPTS,
            attempts => attempts,
        },
        calls: Calls {
            preaction: action.preaction,
            action: action.action,
            failed: action.failed,
            data: action.data,
        },
    })
}

/// More would be a mistake.
const PHASES_MAX: u32 = 65_536;

/// dtm_store_register()
///
/// # Safety
/// A struct as the header asks for.
pub(super) unsafe fn store(rt: &Runtime, store: *const dtm_store_t) -> Result<()> {
    rt.check_fresh()?;
    // SAFETY: by contract.
    let table = unsafe { read_struct(store, STORE_MIN) }?;
    // SAFETY: NULL or terminated, by contract.
    let scheme = unsafe { text(table.scheme, "store.scheme") }?.to_owned();
    let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-".contains(&c);
    if scheme.is_empty() || !scheme.bytes().all(letter) {
        let text = format!("store.scheme = {scheme}: lower-case letters, digits, `+` or `-`");
        return Err(Error::invalid(text));
    }
    let has = [
        ("open", table.open.is_some()),
        ("close", table.close.is_some()),
        ("ping", table.ping.is_some()),
        ("get", table.get.is_some()),
        ("list", table.list.is_some()),
        ("write", table.write.is_some()),
        (
            "rollback",
            table.rollback.is_some() || table.begin.is_none(),
        ),
        ("unlease", table.unlease.is_some() || table.lease.is_none()),
    ];
    if let Some((member, _)) = has.iter().find(|(_, there)| !there) {
        return Err(Error::invalid(format!("store.{member} is NULL")));
    }
    let mut plugins = rt.registered.plugins.borrow_mut();
    if plugins.iter().any(|p| p.scheme == scheme) {
        let text = format!("a store '{scheme}:' is registered already");
        return Err(Error::new(-libc::EEXIST, text));
    }
    plugins.push(Plugin { scheme, table });
    Ok(())
}
