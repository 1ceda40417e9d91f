//! The reply that a command handler of the service builds, part by part.

use super::value::Value;
use crate::error::{Error, Result};
use crate::ffi::DTM_ESTATE;

/// Deepest nesting of arrays and maps: nothing that people read needs more.
const DEEPEST: usize = 16;
/// Most parts of one reply; each takes some 32 bytes here.
const MOST: usize = 1 << 16;

/// An array or a map that is not complete yet.
struct Open {
    is_map: bool,
    missing: usize,
    parts: Vec<Value>,
}

#[derive(Default)]
pub(crate) struct Reply {
    done: Vec<Value>,
    open: Vec<Open>,
    error: Option<String>,
    parts: usize,
}

impl Reply {
    pub(crate) fn text(&mut self, bytes: &[u8]) -> Result<()> {
        self.add(Value::bulk(bytes))
    }

    pub(crate) fn integer(&mut self, value: i64) -> Result<()> {
        self.add(Value::Int(value))
    }

    pub(crate) fn double(&mut self, value: f64) -> Result<()> {
        self.add(Value::Double(value))
    }

    pub(crate) fn boolean(&mut self, value: bool) -> Result<()> {
        self.add(Value::Bool(value))
    }

    pub(crate) fn null(&mut self) -> Result<()> {
        self.add(Value::Null)
    }

    /// The whole reply is this error, whatever was added. `CODE text`; without a code in
    /// capitals, `ERR` comes before it.
    pub(crate) fn error(&mut self, text: &str) {
        self.error = Some(coded(text));
    }

    pub(crate) fn begin(&mut self, count: usize, is_map: bool) -> Result<()> {
        let missing = if is_map {
            count.saturating_mul(2)
        } else {
            count
        };
        if missing > MOST || self.open.len() >= DEEPEST {
            let text = format!("a reply has at most {MOST} parts, {DEEPEST} levels deep");
            return Err(Error::invalid(text));
        }
        self.open.push(Open {
            is_map,
            missing,
            parts: Vec::new(),
        });
        self.close_full();
        Ok(())
    }

    fn add(&mut self, value: Value) -> Result<()> {
        self.parts += 1;
        if self.parts > MOST {
            return Err(Error::invalid(format!("a reply has at most {MOST} parts")));
        }
        self.put(value);
        self.close_full();
        Ok(())
    }

    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            Some(open) => {
                open.parts.push(value);
                open.missing -= 1;
            }
            None => self.done.push(value),
        }
    }

    fn close_full(&mut self) {
        while self.open.last().is_some_and(|open| open.missing == 0) {
            let Some(open) = self.open.pop() else { return };
            self.put(if open.is_map {
                Value::Pairs(open.parts)
            } else {
                Value::Array(open.parts)
            });
        }
    }

    /// What is sent: the one value, or an array of several; nothing at all is OK.
    pub(crate) fn finish(mut self, code: i32) -> Value {
        if let Some(error) = self.error {
            return Value::Error(error);
        }
        if code < 0 {
            return Value::Error(super::run::error_of(code, ""));
        }
        if let Some(open) = self.open.first() {
            let text = format!(
                "ERR the command's handler announced {} more parts than it added",
                open.missing
            );
            return Value::Error(text);
        }
        match self.done.len() {
            0 => Value::ok(),
            1 => self.done.remove(0),
            _ => Value::Array(self.done),
        }
    }
}

fn coded(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or("");
    let is_code = !first.is_empty() && first.bytes().all(|b| b.is_ascii_uppercase());
    if is_code {
        text.to_owned()
    } else {
        format!("ERR {text}")
    }
}

/// A call on a reply whose handler has returned.
pub(crate) fn over() -> Error {
    Error::new(
        DTM_ESTATE,
        "the command's handler has returned: its reply was sent",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_one_value() {
        assert_eq!(Reply::default().finish(0), Value::ok());
        let mut reply = Reply::default();
        reply.begin(2, false).unwrap();
        reply.integer(1).unwrap();
        reply.begin(1, true).unwrap();
        reply.text(b"k").unwrap();
        reply.null().unwrap();
        let map = Value::Pairs(vec!["k".into(), Value::Null]);
        assert_eq!(reply.finish(0), Value::Array(vec![Value::Int(1), map]));

        let mut reply = Reply::default();
        reply.boolean(true).unwrap();
        reply.double(0.5).unwrap();
        reply.begin(0, false).unwrap();
        let all = vec![Value::Bool(true), Value::Double(0.5), Value::Array(vec![])];
        assert_eq!(reply.finish(0), Value::Array(all));
    }

    #[test]
    fn mistakes_are_answered() {
        let mut reply = Reply::default();
        reply.begin(2, false).unwrap();
        reply.integer(1).unwrap();
        assert!(matches!(reply.finish(0), Value::Error(text) if text.contains("1 more")));
        let mut reply = Reply::default();
        reply.integer(1).unwrap();
        reply.error("no such table");
        assert_eq!(reply.finish(0), Value::Error("ERR no such table".into()));
        let mut reply = Reply::default();
        reply.error("BUSY later");
        assert_eq!(reply.finish(0), Value::Error("BUSY later".into()));
        assert!(
            matches!(Reply::default().finish(-22), Value::Error(text) if text.contains("EINVAL"))
        );
        let mut reply = Reply::default();
        assert!(reply.begin(MOST + 1, false).is_err());
        for _ in 0..DEEPEST {
            reply.begin(1, false).unwrap();
        }
        assert!(reply.begin(1, false).is_err());
    }
}
