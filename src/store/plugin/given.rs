//! What a call of a plug-in is given, and where it puts what it finds.

use crate::ffi::*;
use crate::store::{Change, Expect, Record, Write};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::rc::Rc;

/// Where the plug-in reads and writes during a call.
pub(super) struct Given {
    texts: Vec<Vec<u8>>,
    /// What these point to is in `texts`.
    pub(super) writes: Vec<dtm_write_t>,
    pub(super) found: RefCell<Vec<Record>>,
    pub(super) version: Cell<u64>,
    pub(super) native: Cell<*mut c_void>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            writes: Vec::new(),
            found: RefCell::default(),
            version: Cell::default(),
            native: Cell::new(std::ptr::null_mut()),
        }
    }
}

impl Given {
    pub(super) fn texts(texts: &[&[u8]]) -> Rc<Self> {
        Rc::new(Self {
            texts: texts.iter().map(|text| text.to_vec()).collect(),
            ..Self::default()
        })
    }

    pub(super) fn text(&self, at: usize) -> dtm_str_t {
        str_of(self.texts.get(at).map_or(b"", Vec::as_slice))
    }

    pub(super) fn sink(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }
}

fn str_of(bytes: &[u8]) -> dtm_str_t {
    dtm_str_t {
        ptr: bytes.as_ptr().cast(),
        len: bytes.len(),
    }
}

/// # Safety
/// `text` is what its length says.
unsafe fn copied(text: dtm_str_t) -> Vec<u8> {
    match text.ptr.is_null() || text.len == 0 {
        true => Vec::new(),
        // SAFETY: by contract.
        false => unsafe { std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len) }.to_vec(),
    }
}

pub(super) unsafe extern "C-unwind" fn collect(
    sink: *mut c_void,
    key: dtm_str_t,
    value: dtm_str_t,
    version: u64,
) -> i32 {
    // SAFETY: the sink that sink() has handed out, which lives until its call has ended;
    // texts by the plug-in's contract.
    unsafe {
        (*sink.cast::<Given>()).found.borrow_mut().push(Record {
            key: copied(key),
            value: copied(value),
            version,
        });
    }
    0
}

/// Key and value of each write, one after the other, and the writes that point to them.
pub(super) fn in_c(writes: &[Write]) -> Rc<Given> {
    let value = |write: &Write| match &write.change {
        Change::Put(value) => value.clone(),
        Change::Check | Change::Delete => Vec::new(),
    };
    let texts = writes.iter().flat_map(|w| [w.key.clone(), value(w)]);
    let mut given = Given {
        texts: texts.collect(),
        ..Given::default()
    };
    let in_c = |(write, texts): (&Write, &[Vec<u8>])| dtm_write_t {
        key: str_of(&texts[0]),
        value: str_of(&texts[1]),
        expected: match write.expect {
            Expect::Any => DTM_VERSION_ANY,
            Expect::Absent => 0,
            Expect::Version(version) => version,
        },
        change: match &write.change {
            Change::Check => DTM_WRITE_CHECK,
            Change::Put(_) => DTM_WRITE_PUT,
            Change::Delete => DTM_WRITE_DELETE,
        },
        reserved: 0,
    };
    given.writes = writes.iter().zip(given.texts.chunks(2)).map(in_c).collect();
    Rc::new(given)
}
