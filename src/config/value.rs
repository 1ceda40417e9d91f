//! How values are written: numbers, sizes, times, names. Pure.

/// What a value is written as. All of them are one u32 in the C struct.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `4`
    Number,
    /// `65536`, `64k`, `16m`, `1g`
    Size,
    /// `512m`, `2g`, in MiB
    Mebi,
    /// `-5`, as two's complement
    Signed,
    /// `100ms`, `30s`, `20m`, `2h`, `1d`, in milliseconds
    Time,
    /// One of these names.
    Name(&'static [(&'static str, u32)]),
}

/// Units, largest first.
const TIMES: &[(&str, u32)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const SIZES: &[(&str, u32)] = &[("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10), ("", 1)];
const MEBIS: &[(&str, u32)] = &[("t", 1 << 20), ("g", 1 << 10), ("m", 1)];

impl Kind {
    /// `None`: cannot be read. Ranges are checked elsewhere.
    pub(super) fn parse(self, text: &str) -> Option<u32> {
        match self {
            Kind::Number => with_unit(text, &[("", 1)]),
            Kind::Size => with_unit(text, SIZES),
            Kind::Mebi => with_unit(text, MEBIS),
            Kind::Signed => text.parse::<i32>().ok().map(i32::cast_unsigned),
            Kind::Time => with_unit(text, TIMES),
            Kind::Name(names) => names
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, v)| *v),
        }
    }

    /// As a file would say it.
    pub(super) fn show(self, value: u32) -> String {
        let units = match self {
            Kind::Time => TIMES,
            Kind::Size => SIZES,
            Kind::Mebi => MEBIS,
            Kind::Signed => return value.cast_signed().to_string(),
            Kind::Name(names) => {
                let known = names.iter().find(|(_, v)| *v == value);
                return known.map_or_else(|| value.to_string(), |(name, _)| (*name).into());
            }
            Kind::Number => return value.to_string(),
        };
        let fits = |(_, scale): &&(&str, u32)| value != 0 && value.is_multiple_of(*scale);
        let (unit, scale) = units.iter().find(fits).unwrap_or(&units[units.len() - 1]);
        format!("{}{unit}", value / scale)
    }
}

/// Digits and one of the units, nothing else: no sign, no fraction, no blank.
fn with_unit(text: &str, units: &[(&str, u32)]) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u32>().ok()?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        let good = [
            ("30s", 30_000),
            ("100ms", 100),
            ("20m", 1_200_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ];
        for (text, ms) in good {
            assert_eq!(Kind::Time.parse(text), Some(ms), "{text}");
            assert_eq!(Kind::Time.show(ms), text);
        }
        for text in [
            "30",
            "",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "30 s",
            "30S",
            "50d",
            "99999999999s",
        ] {
            assert_eq!(Kind::Time.parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64k", 65536),
            ("16m", 1 << 24),
            ("1g", 1 << 30),
            ("100", 100),
        ] {
            assert_eq!(Kind::Size.parse(text), Some(bytes), "{text}");
            assert_eq!(Kind::Size.show(bytes), text);
        }
        for text in ["4g", "64K", "k", "off", "0x10"] {
            assert_eq!(Kind::Size.parse(text), None, "{text}");
        }
    }

    #[test]
    fn names() {
        let kind = Kind::Name(&[("drain", 0), ("exit", 1)]);
        assert_eq!(kind.parse("exit"), Some(1));
        assert_eq!(kind.parse("1"), None);
        assert_eq!(kind.show(0), "drain");
        assert_eq!(kind.show(7), "7");
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(value: u32) {
            for kind in [Kind::Number, Kind::Size, Kind::Mebi, Kind::Signed, Kind::Time] {
                prop_assert_eq!(kind.parse(&kind.show(value)), Some(value));
            }
        }

        #[test]
        fn anything_can_be_tried(text in ".*") {
            for kind in [Kind::Number, Kind::Size, Kind::Mebi, Kind::Signed, Kind::Time, Kind::Name(&[("a", 1)])] {
                let _ = kind.parse(&text);
            }
        }
    }
}
