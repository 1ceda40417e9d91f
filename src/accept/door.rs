//! Names of the sockets at which clients come in.

/// A listening socket, as all processes name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Door {
    pub(crate) listener: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Many workers wait there. Group 0 is the socket that the host bound; it is
    /// the only one of a listener that cannot be a group of sockets.
    Shared { group: usize },
    /// One worker's own.
    Own { slot: usize },
}

/// The least event token of a door; a worker's loop knows no lower ones.
const BASE: u32 = 0x100;
const PER_KIND: u32 = 0x100;

/// What an event of a worker's loop names: the worker has one door of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Group 0.
    Base,
    /// The worker's group, if that is another.
    Group,
    Own,
}

impl Door {
    pub(super) fn shared(listener: usize, group: usize) -> Self {
        let kind = Kind::Shared { group };
        Self { listener, kind }
    }

    pub(super) fn own(listener: usize, slot: usize) -> Self {
        let kind = Kind::Own { slot };
        Self { listener, kind }
    }

    pub(crate) fn is_own(self) -> bool {
        matches!(self.kind, Kind::Own { .. })
    }

    /// The event token under which a worker's loop knows it.
    pub(super) fn token(self) -> u32 {
        let side = match self.kind {
            Kind::Shared { group: 0 } => 0,
            Kind::Shared { .. } => 1,
            Kind::Own { .. } => 2,
        };
        BASE + side * PER_KIND + u32::try_from(self.listener).unwrap_or(0)
    }

    /// One number, for the master's epoll.
    pub(super) fn code(self) -> u64 {
        let number = |n: usize| u64::try_from(n).unwrap_or(0);
        let (side, at) = match self.kind {
            Kind::Shared { group } => (0, group),
            Kind::Own { slot } => (1, slot),
        };
        side << 32 | number(at) << 8 | number(self.listener)
    }

    pub(super) fn of_code(code: u64) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(0);
        let (listener, at) = (number(code & 0xff), number(code >> 8 & 0xff_ffff));
        match code >> 32 {
            0 => Self::shared(listener, at),
            _ => Self::own(listener, at),
        }
    }
}

impl Side {
    /// What an event token means: listener and side.
    pub(super) fn of_token(token: u32) -> Option<(usize, Self)> {
        let number = token.checked_sub(BASE)?;
        let listener = usize::try_from(number % PER_KIND).ok()?;
        let side = match number / PER_KIND {
            0 => Self::Base,
            1 => Self::Group,
            2 => Self::Own,
            _ => return None,
        };
        Some((listener, side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let mut doors = Vec::new();
        for listener in [0, 1, 31] {
            doors.extend([0, 1, 63].map(|group| Door::shared(listener, group)));
            doors.extend([0, 5, 1023].map(|slot| Door::own(listener, slot)));
        }
        for door in &doors {
            assert_eq!(Door::of_code(door.code()), *door);
        }
    }

    #[test]
    fn tokens_tell_listener_and_side() {
        let side = |door: Door| Side::of_token(door.token());
        assert_eq!(side(Door::shared(31, 0)), Some((31, Side::Base)));
        assert_eq!(side(Door::shared(2, 7)), Some((2, Side::Group)));
        assert_eq!(side(Door::own(0, 9)), Some((0, Side::Own)));
        assert_eq!(Side::of_token(BASE - 1), None);
        assert_eq!(Side::of_token(BASE + 3 * PER_KIND), None);
    }
}
