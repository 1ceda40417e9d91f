//! What the console answers, and its JSON.

use crate::writing;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Any bytes.
    Text(Vec<u8>),
    /// `CODE what went wrong`
    Error(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    /// Told without being asked.
    Push(Vec<Value>),
}

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// A map's value; Null where there is none.
    pub(crate) fn get(&self, key: &str) -> &Value {
        let Self::Map(pairs) = self else {
            return &Self::Null;
        };
        let is_it = |(k, _): &&(Value, Value)| matches!(k, Self::Text(k) if k == key.as_bytes());
        pairs.iter().find(is_it).map_or(&Self::Null, |(_, v)| v)
    }

    /// Put or replace a map's value.
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        let Self::Map(pairs) = self else { return };
        let key = Self::text(key);
        match pairs.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => pairs.push((key, value)),
        }
    }

    pub(crate) fn items(&self) -> &[Value] {
        match self {
            Self::List(items) | Self::Push(items) => items,
            _ => &[],
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "for people; below 2^53 in practice"
    )]
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Double(n) => Some(*n),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// As text: what a string holds, and how everything else is written.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Error(text) => text.clone(),
            Self::Null => String::new(),
            other => other.json(),
        }
    }

    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self, Self::Text(bytes) if bytes == text.as_bytes())
    }

    /// One line of JSON. Bytes that are no UTF-8 are replaced.
    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Self::Int(n) => out.push_str(&n.to_string()),
            Self::Double(n) if n.is_finite() => out.push_str(&n.to_string()),
            Self::Double(_) => out.push_str("null"),
            Self::Text(bytes) => writing::text(out, &String::from_utf8_lossy(bytes)),
            Self::Error(text) => writing::text(out, text),
            Self::List(items) | Self::Push(items) => {
                let item = |out: &mut String, item: &Value| item.write_json(out);
                writing::joined(out, writing::LIST, items, item);
            }
            Self::Map(pairs) => {
                let pair = |out: &mut String, (key, value): &(Value, Value)| {
                    writing::text(out, &key.shown());
                    out.push(':');
                    value.write_json(out);
                };
                writing::joined(out, writing::OBJECT, pairs, pair);
            }
        }
    }
}

/// A map written down with its keys.
pub(crate) fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.map(|(key, value)| (Value::text(key), value)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps() {
        let mut value = map([("a", Value::Int(1)), ("b", Value::Null)]);
        assert_eq!(value.get("a").int(), Some(1));
        assert_eq!(*value.get("c"), Value::Null);
        value.set("b", Value::Double(0.5));
        value.set("c", Value::Bool(true));
        assert_eq!(value.json(), r#"{"a":1,"b":0.5,"c":true}"#);
    }

    #[test]
    fn json_of_odd_things() {
        let odd = Value::List(vec![
            Value::Text(b"\x1b\"\\\n\xff".to_vec()),
            Value::Double(f64::NAN),
            Value::Double(2.0),
        ]);
        assert_eq!(odd.json(), "[\"\\u001b\\\"\\\\\\n\u{fffd}\",null,2]");
    }
}
