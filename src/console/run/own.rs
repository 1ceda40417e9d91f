//! Commands of the service's own.

use super::super::reply::Reply;
use super::super::table::Registered;
use super::*;

/// Call the handler; what it filled in is the answer.
pub(super) fn run(
    command: &Registered,
    controller: &'static Controller,
    words: &[Vec<u8>],
) -> Value {
    let Some(handler) = command.handler else {
        return Value::Error("ERR this command has no handler".into());
    };
    let words: Vec<dtm_str_t> = words
        .iter()
        .map(|word| dtm_str_t {
            ptr: word.as_ptr().cast(),
            len: word.len(),
        })
        .collect();
    let mut reply = Reply::default();
    let (rt, data) = (controller.handle(), command.data);
    let place = (&raw mut reply).cast::<dtm_reply_t>();
    crate::ffi::console::set_current(place);
    // SAFETY: the service's function; reply and words live during the call.
    let code =
        crate::guard::callback(|| unsafe { handler(rt, place, words.len(), words.as_ptr(), data) });
    crate::ffi::console::set_current(std::ptr::null_mut());
    reply.finish(code)
}
