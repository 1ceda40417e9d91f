//! What the state says of the service as a whole.

use super::Policy;
use super::reload::Reload;
use crate::shm::Facts;

impl Policy {
    /// The policy's own part of the facts is renewed, the rest stays.
    pub(crate) fn facts(&self, last: &Facts) -> Facts {
        let reload = self.reload.as_ref();
        let reloading = reload.map(|r| {
            if r.generation > 0 {
                r.generation
            } else {
                self.newest + 1
            }
        });
        // Until it has opened, the old generation is the one that is to be whole.
        let before = reload.and_then(Reload::before);
        let settings = before.unwrap_or(&self.settings);
        Facts {
            serving: u64::from(self.serving),
            reloading: reloading.map_or(0, u64::from),
            workers: u64::from(settings.workers),
            stopped: match &self.ending {
                Some(_) => 2,
                None => u64::from(self.stopped),
            },
            counts: self.counts,
            ..*last
        }
    }
}
