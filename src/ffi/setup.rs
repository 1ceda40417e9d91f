//! What the host gives the runtime before it runs: listeners and funcs.

use super::{consts::*, register, types::*};
use crate::error::Error;
use crate::guard::enter_rt;

/// Bind and open a listener for clients; the workers accept from it. Returns its
/// index (0, 1, ...), or: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, DTM_EINVAL (the
/// address cannot be read), -ENOSPC (more than DTM_LISTENERS_MAX), DTM_ESTATE.
///
/// A Unix socket file that nobody listens on is replaced; one with a live owner
/// gives -EADDRINUSE.
///
/// In the master's `config_load` it is part of what is loaded. For the address of a
/// listener that there is (or that dtm_unlisten() was just told to remove), it returns
/// that one's index and takes over tag, backlog and mode, for the processes forked from
/// then on; at the start, at once. Another address is bound at once, so a failure is known
/// before anything is forked; let `config_load` return that code (never the index), and the
/// reload is cancelled and its answer names the address. Clients get at it when the new
/// generation is open, and never if the reload fails. What fails only then is in the reload's
/// answer, and tried again by the next one. Only workers that are forked for it know it. The
/// address must not overlap
/// with one that is removed (`*:80` and `127.0.0.1:80`: -EADDRINUSE). -EBUSY: it was
/// removed by the last reload, and closes in a second. DTM_ESTATE: DTM_CMD_LOADCONF, which
/// forks nobody, cannot add or remove any. -EMFILE: too many for RLIMIT_NOFILE.
///
/// Process: host; master in config_load (in the controller's: DTM_EROLE)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the listener belongs to rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen(rt: *mut dtm_t, listen: *const dtm_listen_t) -> i32 {
    // SAFETY: a struct as the header asks for.
    enter_rt(rt, DTM_ROLE_HOST | DTM_ROLE_MASTER, |rt| unsafe {
        register::listener(rt, listen, false)
    })
}

/// Remove a listener. In the host, and in `config_load` at the start, it is closed at once.
///
/// In `config_load` of a reload it is removed when the new generation is open; until then,
/// and if the reload fails, it serves as before. Then no connection is made there any more
/// (a TCP client may have to wait for a second until it is refused; a socket file is removed at once).
/// Clients that wait there are served by the old generation, before it drains; those that
/// it has not taken within half a second, by the new one, with the listener's index and tag.
/// The index may be another listener's when no process is left that knew this one.
/// A socket that systemd has passed is only not used any more: it is systemd's to close.
///
/// DTM_OK; -ENOENT: no such listener; DTM_ESTATE as dtm_listen().
///
/// Process: host; master in config_load (in the controller's: DTM_EROLE)
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_unlisten(rt: *mut dtm_t, index: u32) -> i32 {
    enter_rt(rt, DTM_ROLE_HOST | DTM_ROLE_MASTER, |rt| rt.unlisten(index))
}

/// The same for the control listener, from which the controller accepts. At most one.
///
/// Without a `control_step` it is the ready-made console's, which takes care who gets at it:
/// DTM_EINVAL for an address beyond loopback (see `control_remote`) and for a socket file in
/// a folder where everybody may replace it.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the listener belongs to rt
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen_control(rt: *mut dtm_t, listen: *const dtm_listen_t) -> i32 {
    // SAFETY: a struct as the header asks for.
    enter_rt(rt, DTM_ROLE_HOST, |rt| unsafe {
        register::listener(rt, listen, true)
    })
}

/// The port that listener `index` is bound to (for port 0 in its address); 0 for
/// Unix sockets. -ENOENT when there is no such listener; in a worker: none that it serves.
///
/// Process: host, master, worker
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: nothing changes hands
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_listen_port(rt: *const dtm_t, index: u32) -> i32 {
    enter_rt(
        rt,
        DTM_ROLE_HOST | DTM_ROLE_MASTER | DTM_ROLE_WORKER,
        |rt| {
            let port = rt.port(index).ok_or_else(|| {
                Error::new(
                    -libc::ENOENT,
                    format!("there is no listener with index {index}"),
                )
            })?;
            Ok(i32::from(port))
        },
    )
}

/// Register a helper process. Returns its index.
///
/// Process: host
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: func is copied
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_func_register(rt: *mut dtm_t, func: *const dtm_func_t) -> i32 {
    // SAFETY: a struct as the header asks for.
    enter_rt(rt, DTM_ROLE_HOST, |rt| unsafe { register::func(rt, func) })
}
