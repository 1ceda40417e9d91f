//! What the service manager is told of the service.

use super::Master;
use super::policy::Phase;
use std::collections::BTreeSet;

impl Master {
    pub(super) fn tell_start(&mut self) {
        let within = self.rt.config().start_timeout;
        if let Some(manager) = &mut self.systemd {
            self.rt.store_listeners(manager);
            manager.starts(within);
        }
    }

    /// How many serve, and of which generation.
    pub(super) fn tell_standing(&mut self) {
        let replaces_one = self.replaces_one();
        let Some(manager) = &mut self.systemd else {
            return;
        };
        let (serving, mut open) = (self.policy.serving(), 0);
        let mut old = BTreeSet::new();
        for slot in self.policy.slots().iter().filter(|s| s.is_worker()) {
            match &slot.child {
                Some(child) if child.stop.is_none() && child.phase == Phase::Open => open += 1,
                Some(_) if slot.generation < serving => {
                    old.insert(slot.generation);
                }
                _ => {}
            }
        }
        let draining = match old.len() {
            0 => String::new(),
            n => format!(", {n} old ones drain"),
        };
        let before = match replaces_one {
            true => ", the binary before this one drains",
            false => "",
        };
        let status = format!("{open} workers of generation {serving} serve{draining}{before}");
        manager.stands(self.policy.serves(), &status);
    }

    /// The canary and the rest have a start timeout each; an old generation may have to
    /// make room.
    pub(super) fn tell_reload(&mut self) {
        let config = self.rt.config();
        let within = config.start_timeout.map(|ms| 2 * ms + config.kill_grace);
        if let Some(manager) = &mut self.systemd {
            manager.reload_begins(within);
        }
    }

    /// Who asked for it by a signal is to hear at once that it was heard: it cannot begin
    /// before a ban on forking ends.
    pub(super) fn tell_deferred_reload(&mut self) {
        if let Some(manager) = &mut self.systemd {
            manager.reload_begins(None);
        }
    }

    pub(super) fn tell_end(&mut self, fast: bool) {
        let config = self.rt.config();
        let drain = if fast { Some(0) } else { config.drain_timeout };
        // The controller goes last, with a grace of its own.
        let within = drain.map(|ms| 2 * (ms + config.kill_grace));
        if let Some(manager) = &mut self.systemd {
            manager.ends(within);
        }
    }
}
