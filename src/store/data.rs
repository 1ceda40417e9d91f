//! What stores keep, and what is asked of them.

/// A key as it is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) version: u64,
}

/// What a write relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Any,
    Absent,
    Version(u64),
}

impl Expect {
    /// Of a record that was read, or was not there.
    pub(crate) fn of(record: Option<&Record>) -> Self {
        record.map_or(Self::Absent, |r| Self::Version(r.version))
    }

    #[cfg_attr(not(feature = "store-sqlite"), allow(dead_code))]
    pub(crate) fn holds(self, version: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => version.is_none(),
            Self::Version(wanted) => version == Some(wanted),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: only rely on it.
    Check,
    Put(Vec<u8>),
    Delete,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) key: Vec<u8>,
    pub(crate) expect: Expect,
    pub(crate) change: Change,
}

impl Write {
    pub(crate) fn check(key: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self {
            key: key.into(),
            expect,
            change: Change::Check,
        }
    }

    pub(crate) fn put(key: impl Into<Vec<u8>>, expect: Expect, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            expect,
            change: Change::Put(value.into()),
        }
    }

    pub(crate) fn delete(key: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self {
            key: key.into(),
            expect,
            change: Change::Delete,
        }
    }
}
