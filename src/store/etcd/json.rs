//! As much JSON as etcd's gateway speaks, and base64, in which it wraps bytes.

/// A value. Numbers stay text: the gateway writes those of 64 bits as strings.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Nothing of the gateway's is deeper.
const DEPTH: usize = 32;

impl Json {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(DEPTH)?;
        parser.space();
        (parser.at == text.len()).then_some(value)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that may be absent, which means 0.
    pub(super) fn number(&self, name: &str) -> u64 {
        let text = self.get(name).and_then(Self::text);
        text.and_then(|t| t.parse().ok()).unwrap_or(0)
    }

    pub(super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        match self.get(name) {
            None => Some(Vec::new()),
            Some(value) => decode(value.text()?),
        }
    }

    pub(super) fn items(&self, name: &str) -> &[Self] {
        match self.get(name) {
            Some(Self::Array(items)) => items,
            _ => &[],
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        self.space();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Json::Text),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<Json> {
        let rest = &self.text[self.at..];
        let end = rest.find([',', '}', ']', ' ', '\n', '\r', '\t']);
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        match word {
            "null" => Some(Json::Null),
            "true" => Some(Json::Bool(true)),
            "false" => Some(Json::Bool(false)),
            number => {
                number.parse::<f64>().ok()?;
                Some(Json::Text(number.to_owned()))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take(b'{')?;
        let mut members = Vec::new();
        if self.take(b'}').is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.take(b':')?;
            members.push((name, self.value(depth)?));
            if self.take(b',').is_none() {
                return self.take(b'}').map(|()| Json::Object(members));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.take(b'[')?;
        let mut items = Vec::new();
        if self.take(b']').is_some() {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.take(b',').is_none() {
                return self.take(b']').map(|()| Json::Array(items));
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut out = String::new();
        loop {
            let c = self.text[self.at..].chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(out),
                '\\' => out.push(self.escape()?),
                c => out.push(c),
            }
        }
    }

    /// Surrogate pairs do not come: the gateway escapes what is below 0x80 only.
    fn escape(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(match c {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let code = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                char::from_u32(u32::from_str_radix(code, 16).ok()?)?
            }
            b'"' | b'\\' | b'/' => char::from(c),
            _ => return None,
        })
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let byte = |at: usize| u32::from(part.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * digit) & 63).unwrap_or(0);
            let there = digit <= part.len();
            out.push(if there {
                char::from(DIGITS[index])
            } else {
                '='
            });
        }
    }
    out
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes() {
        let digit = DIGITS.iter().position(|d| *d == c)?;
        bits = bits << 6 | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_gateway_says() {
        let text = br#"{"header":{"revision":"5","raft_term":"2"},"succeeded":true,
            "kvs":[{"key":"YQ==","mod_revision":"3"}],"n":-1.5e3,"e":[],"o":{},"x":null,"q":"a\u0041\n\""}"#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.get("header").unwrap().number("revision"), 5);
        assert_eq!(json.get("succeeded"), Some(&Json::Bool(true)));
        let kv = &json.items("kvs")[0];
        assert_eq!(
            (kv.bytes("key").unwrap(), kv.bytes("value").unwrap()),
            (b"a".to_vec(), vec![])
        );
        assert_eq!(json.get("q").unwrap().text(), Some("aA\n\""));
        for bad in [
            "",
            "{",
            "{\"a\"}",
            "[1,]",
            "\"a",
            "{} x",
            "nul",
            "\"\\u12\"",
            "\"\\é\"",
        ] {
            assert_eq!(Json::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Json::parse("[".repeat(100_000).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn base64_gives_back_what_it_got(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Json::parse(&bytes);
        }
    }
}
