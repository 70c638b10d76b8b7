//! One change at a time: the promise that a member gives to one proposed change.
//!
//! Who proposes asks all members in the order of their ids, so two proposals meet at the first member that both ask,
//! and neither waits for the other while it holds what that one needs. A promise need not outlive its process:
//! whoever proposes needs it of every member at the same moment.

use std::time::Duration;

use super::Change;

/// How long a promise holds unless the change begins. A proposal takes a round trip for each member, and what each removes
/// before it promises; who took longer asks once more, and finds them ready.
pub(super) const HELD: Duration = Duration::from_secs(10);

/// The promise of this node.
#[derive(Debug, Default)]
pub(super) struct Grants(Option<Held>);

#[derive(Debug)]
struct Held {
    change: Change,
    /// This node has nothing of what it would gain.
    is_ready: bool,
    /// Of the ring that the change would begin on: it can't on another.
    epoch: u64,
    until: Duration,
}

impl Grants {
    /// Promises that on the ring of this epoch no other change begins; or says which was promised before.
    pub(super) fn take(&mut self, change: &Change, epoch: u64, now: Duration) -> Result<(), Box<Change>> {
        if let Some(held) = &self.0
            && held.epoch == epoch
            && now < held.until
            && held.change.id != change.id
            && held.change.coordinator != change.coordinator
        {
            return Err(Box::new(held.change.clone()));
        }
        let before = self
            .0
            .take()
            .filter(|held| held.epoch == epoch && held.change.id == change.id);
        self.0 = Some(Held {
            change: change.clone(),
            is_ready: before.is_some_and(|held| held.is_ready),
            epoch,
            until: now + HELD,
        });
        Ok(())
    }

    /// Whether this node is ready for the change that was promised last.
    pub(super) fn is_ready(&self, id: u128) -> bool {
        self.0
            .as_ref()
            .is_some_and(|held| held.change.id == id && held.is_ready)
    }

    /// This node is ready for the change, if that is still what was promised last.
    pub(super) fn ready(&mut self, id: u128) {
        if let Some(held) = self.0.as_mut().filter(|held| held.change.id == id) {
            held.is_ready = true;
        }
    }

    /// The change does not begin.
    pub(super) fn release(&mut self, id: u128) {
        if self.0.as_ref().is_some_and(|held| held.change.id == id) {
            self.0 = None;
        }
    }
}
