//! Reads JSON: life events come as one line of it. Pure.

use crate::value::Value;

/// Deeper than anything the console says.
const DEEPEST: usize = 32;

/// None: that is no JSON.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader {
        rest: text.as_bytes(),
    };
    let value = reader.value(0)?;
    reader.space();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text.as_bytes())?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.space();
        match self.rest.first()? {
            b'n' => self.take("null").map(|()| Value::Null),
            b't' => self.take("true").map(|()| Value::Bool(true)),
            b'f' => self.take("false").map(|()| Value::Bool(false)),
            b'"' => self.string().map(|text| Value::Text(text.into_bytes())),
            b'[' => self.list(depth),
            b'{' => self.map(depth),
            _ => self.number(),
        }
    }

    /// RFC 8259, section 6. Rust's own reader would take `+1`, `.5`, `1.` and `01`, too.
    fn number(&mut self) -> Option<Value> {
        let start = self.rest;
        self.take_one(b"-");
        if self.take_one(b"0").is_none() {
            self.digits()?;
        }
        if self.take_one(b".").is_some() {
            self.digits()?;
        }
        if self.take_one(b"eE").is_some() {
            self.take_one(b"+-");
            self.digits()?;
        }
        let len = start.len() - self.rest.len();
        let text = std::str::from_utf8(&start[..len]).ok()?;
        // No whole number is -0.
        let whole = text.parse().ok().filter(|_| text != "-0").map(Value::Int);
        whole.or_else(|| text.parse().ok().map(Value::Double))
    }

    fn take_one(&mut self, of: &[u8]) -> Option<()> {
        let (first, rest) = self.rest.split_first()?;
        of.contains(first).then(|| self.rest = rest)
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let len = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.rest = &self.rest[len..];
        (len > 0).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut out = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return String::from_utf8(out).ok(),
                b'\\' => {
                    let mut room = [0; 4];
                    out.extend(self.escape()?.encode_utf8(&mut room).bytes());
                }
                0..0x20 => return None,
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match kind {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(kind),
            b'u' => {
                let digits = std::str::from_utf8(self.rest.get(..4)?).ok()?;
                self.rest = &self.rest[4..];
                // Halves of a pair are never sent: text is UTF-8 as it is.
                char::from_u32(u32::from_str_radix(digits, 16).ok()?).unwrap_or('\u{fffd}')
            }
            _ => return None,
        })
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        self.take("[")?;
        let mut items = Vec::new();
        self.space();
        if self.take("]").is_some() {
            return Some(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take("]").is_some() {
                return Some(Value::List(items));
            }
            self.take(",")?;
        }
    }

    fn map(&mut self, depth: usize) -> Option<Value> {
        self.take("{")?;
        let mut pairs = Vec::new();
        self.space();
        if self.take("}").is_some() {
            return Some(Value::Map(pairs));
        }
        loop {
            self.space();
            let key = Value::Text(self.string()?.into_bytes());
            self.space();
            self.take(":")?;
            pairs.push((key, self.value(depth + 1)?));
            self.space();
            if self.take("}").is_some() {
                return Some(Value::Map(pairs));
            }
            self.take(",")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for text in [
            r#"{"event":"exit","slot":3,"text":"killed \"now\"","x":null,"l":[1,-2.5,true,[]],"m":{}}"#,
            r#""\u0001ü\\n""#,
            "[]",
            "[0,-0,-7,0.25,-0.5]",
        ] {
            assert_eq!(parse(text).unwrap().json(), text);
        }
        assert_eq!(parse(" [ 1 , 2 ] ").unwrap().json(), "[1,2]");
        assert_eq!(
            parse("[1.0,-0.0,2E+2,1e-1]").unwrap().json(),
            "[1,-0,200,0.1]"
        );
    }

    #[test]
    fn what_is_none() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "[1,]",
            "\"",
            "\"\\u12\"",
            "nul",
            "1 2",
            "{\"a\" 1}",
            "-",
            "+1",
            "01",
            "-01",
            ".5",
            "-.0",
            "1.",
            "1.e3",
            "1e",
            "1e+",
            &deep,
        ] {
            assert_eq!(parse(text), None, "{text:.20}");
        }
    }
}
