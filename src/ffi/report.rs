//! Reports of crashes and hangs.

use super::abi::write_struct;
use super::{consts::*, types::*};
use crate::error::Error;
use crate::guard::{CHILD, enter_rt};

/// What is kept of the processes that crashed or had to be killed: the newest first, at
/// most the last 32. `size` is sizeof(dtm_report_t). `*ret_count` is how many there are;
/// when that is above `capacity`, the rest is left out and -ENOSPC returned. A report is
/// stored before the process is killed; its stack and core flag are added a moment later.
///
/// Process: master, worker, controller, func
/// Thread: owner
/// Signal: unsafe
/// Fork: not inherited; DTM_EFORKED in a process the service forked
/// Owns: the arrays are the caller's
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtm_reports(
    rt: *const dtm_t,
    ret_reports: *mut dtm_report_t,
    size: usize,
    capacity: u32,
    ret_count: *mut u32,
) -> i32 {
    enter_rt(rt, DTM_ROLE_MASTER | CHILD, |rt| {
        if ret_count.is_null() || (ret_reports.is_null() && capacity > 0) {
            return Err(Error::invalid("ret_reports or ret_count is NULL"));
        }
        if !(size_of::<usize>()..=64 * 1024).contains(&size) {
            return Err(Error::new(
                DTM_EABI,
                format!("size {size}: pass sizeof(dtm_report_t)"),
            ));
        }
        let reports = rt.shared()?.reports.all();
        let room = usize::try_from(capacity).unwrap_or(usize::MAX);
        for (at, report) in reports.iter().take(room).enumerate() {
            // SAFETY: the caller says that `capacity` elements of `size` bytes are there.
            let target = unsafe { ret_reports.cast::<u8>().add(at * size) };
            // SAFETY: the same.
            unsafe { write_struct(target.cast::<dtm_report_t>(), size, report) }?;
        }
        let count = u32::try_from(reports.len()).unwrap_or(u32::MAX);
        // SAFETY: not NULL; the caller's variable.
        unsafe { ret_count.write(count) };
        if count > capacity {
            let text = format!("{count} reports, room for {capacity}");
            return Err(Error::new(-libc::ENOSPC, text));
        }
        Ok(())
    })
}
