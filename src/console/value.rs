//! What is answered, apart from how it is written: RESP2, RESP3 or JSON.

use super::json;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    /// One line for people.
    Line(String),
    /// Any bytes.
    Bulk(Vec<u8>),
    /// Text of many lines, to be shown as it is.
    Text(String),
    /// `CODE what went wrong`
    Error(String),
    Array(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
    /// A map whose keys are made at run time: key, value, key, value.
    Pairs(Vec<Value>),
    /// Told without being asked; an array in RESP2.
    Push(Vec<Value>),
}

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Resp {
    #[default]
    Two,
    Three,
}

impl Value {
    pub(crate) fn ok() -> Self {
        Self::Line("OK".into())
    }

    pub(crate) fn bulk(text: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(text.into())
    }

    /// A count; those beyond i64 do not occur.
    pub(crate) fn count(n: impl TryInto<i64>) -> Self {
        Self::Int(n.try_into().unwrap_or(i64::MAX))
    }

    pub(crate) fn or_null(text: Option<impl Into<Value>>) -> Self {
        text.map_or(Self::Null, Into::into)
    }

    pub(crate) fn encode(&self, resp: Resp, out: &mut Vec<u8>) {
        let three = resp == Resp::Three;
        match self {
            Self::Null if three => out.extend(b"_\r\n"),
            Self::Null => out.extend(b"$-1\r\n"),
            Self::Bool(yes) if three => out.extend(if *yes { b"#t\r\n" } else { b"#f\r\n" }),
            Self::Bool(yes) => line(out, ':', &i32::from(*yes).to_string()),
            Self::Int(n) => line(out, ':', &n.to_string()),
            Self::Double(n) if three => line(out, ',', &number(*n)),
            Self::Double(n) => bulk(out, '$', number(*n).as_bytes()),
            Self::Line(text) => line(out, '+', text),
            Self::Error(text) => line(out, '-', text),
            Self::Bulk(bytes) => bulk(out, '$', bytes),
            Self::Text(text) if three => bulk(out, '=', &[b"txt:", text.as_bytes()].concat()),
            Self::Text(text) => bulk(out, '$', text.as_bytes()),
            Self::Array(values) => array(out, '*', values, resp),
            Self::Push(values) => array(out, if three { '>' } else { '*' }, values, resp),
            Self::Map(pairs) => {
                let (kind, count) = if three {
                    ('%', pairs.len())
                } else {
                    ('*', pairs.len() * 2)
                };
                line(out, kind, &count.to_string());
                for (name, value) in pairs {
                    bulk(out, '$', name.as_bytes());
                    value.encode(resp, out);
                }
            }
            Self::Pairs(parts) => {
                let (kind, count) = if three {
                    ('%', parts.len() / 2)
                } else {
                    ('*', parts.len())
                };
                line(out, kind, &count.to_string());
                for part in parts {
                    part.encode(resp, out);
                }
            }
        }
    }

    /// One line of JSON. Bytes that are no UTF-8 are replaced.
    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        let write = |out: &mut String, value: &Value| value.write_json(out);
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Self::Int(n) => out.push_str(&n.to_string()),
            Self::Double(n) if n.is_finite() => out.push_str(&number(*n)),
            Self::Double(_) => out.push_str("null"),
            Self::Line(text) | Self::Text(text) | Self::Error(text) => json::text(out, text),
            Self::Bulk(bytes) => json::text(out, &String::from_utf8_lossy(bytes)),
            Self::Array(values) | Self::Push(values) => {
                json::joined(out, json::LIST, values, write);
            }
            Self::Pairs(parts) => {
                let pair = |out: &mut String, pair: &[Value]| {
                    match &pair[0] {
                        Self::Bulk(name) => json::text(out, &String::from_utf8_lossy(name)),
                        other => json::text(out, &other.json()),
                    }
                    out.push(':');
                    pair[1].write_json(out);
                };
                json::joined(out, json::OBJECT, parts.chunks_exact(2), pair);
            }
            Self::Map(pairs) => {
                let pair = |out: &mut String, (name, value): &(&str, Value)| {
                    json::text(out, name);
                    out.push(':');
                    value.write_json(out);
                };
                json::joined(out, json::OBJECT, pairs, pair);
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::bulk(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::bulk(text)
    }
}

/// At most three digits behind the point, which is what clocks and shares need.
fn number(n: f64) -> String {
    let text = format!("{n:.3}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A line ends where it ends: nothing in it may end it before.
fn line(out: &mut Vec<u8>, kind: char, text: &str) {
    out.push(kind as u8);
    out.extend(
        text.bytes()
            .map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }),
    );
    out.extend(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, kind: char, bytes: &[u8]) {
    line(out, kind, &bytes.len().to_string());
    out.extend_from_slice(bytes);
    out.extend(b"\r\n");
}

fn array(out: &mut Vec<u8>, kind: char, values: &[Value], resp: Resp) {
    line(out, kind, &values.len().to_string());
    for value in values {
        value.encode(resp, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resp(value: &Value, resp: Resp) -> String {
        let mut out = Vec::new();
        value.encode(resp, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_same_value_in_each_language() {
        let value = Value::Map(vec![
            ("name", "a\r\nb".into()),
            ("share", Value::Double(0.25)),
            ("up", Value::Bool(true)),
            ("none", Value::Null),
            (
                "list",
                Value::Array(vec![Value::Int(-1), Value::Text("x".into())]),
            ),
        ]);
        assert_eq!(
            resp(&value, Resp::Two),
            "*10\r\n$4\r\nname\r\n$4\r\na\r\nb\r\n$5\r\nshare\r\n$4\r\n0.25\r\n$2\r\nup\r\n:1\r\n\
             $4\r\nnone\r\n$-1\r\n$4\r\nlist\r\n*2\r\n:-1\r\n$1\r\nx\r\n"
        );
        assert_eq!(
            resp(&value, Resp::Three),
            "%5\r\n$4\r\nname\r\n$4\r\na\r\nb\r\n$5\r\nshare\r\n,0.25\r\n$2\r\nup\r\n#t\r\n\
             $4\r\nnone\r\n_\r\n$4\r\nlist\r\n*2\r\n:-1\r\n=5\r\ntxt:x\r\n"
        );
        assert_eq!(
            value.json(),
            r#"{"name":"a\r\nb","share":0.25,"up":true,"none":null,"list":[-1,"x"]}"#
        );
    }

    #[test]
    fn a_line_stays_a_line() {
        let text = Value::Error("ERR a\r\n+OK".into());
        assert_eq!(resp(&text, Resp::Two), "-ERR a  +OK\r\n");
        assert_eq!(
            resp(&Value::Push(vec!["x".into()]), Resp::Three),
            ">1\r\n$1\r\nx\r\n"
        );
        assert_eq!(
            resp(&Value::Push(vec!["x".into()]), Resp::Two),
            "*1\r\n$1\r\nx\r\n"
        );
    }

    #[test]
    fn numbers_and_odd_bytes() {
        assert_eq!(number(1.0), "1");
        assert_eq!(number(-0.5004), "-0.5");
        assert_eq!(number(1200.0), "1200");
        assert_eq!(Value::Double(f64::NAN).json(), "null");
        assert_eq!(Value::bulk(vec![0xff, 1]).json(), "\"\u{fffd}\\u0001\"");
    }
}
