//! What becomes of a message.

use std::{net::SocketAddr, time::Duration};

use starling_replication::env::CallError;

use super::{Group, Handler, Link, Outcome, State, oneshot};

/// A connection over a cut link is given up after this long; until then messages just vanish.
const IDLE_LIMIT: Duration = Duration::from_secs(4);

impl State {
    /// Whether there is a connection; if not, how long it takes to find out, and what the caller hears.
    pub(super) fn connect(&mut self, now: Duration, link: Link) -> Result<(), (Duration, CallError)> {
        let (from, to) = link;
        if !self.up.contains_key(&to) {
            let delay = self
                .random
                .between(self.weather.fastest, self.weather.slowest.saturating_mul(2));
            return Err((delay, CallError::NotSent(to)));
        }
        let cut = [self.blocked.get(&(from, to)), self.blocked.get(&(to, from))];
        let given_up = cut
            .into_iter()
            .flatten()
            .any(|since| now.saturating_sub(*since) > IDLE_LIMIT);
        if given_up && self.random.chance(500) {
            let delay = self
                .random
                .between(Duration::from_millis(1), Duration::from_millis(500));
            return Err((delay, CallError::NotSent(to)));
        }
        if self.random.chance(self.weather.refuse) {
            return Err((Duration::ZERO, CallError::Overloaded(to)));
        }
        Ok(())
    }

    pub(super) fn register(&mut self, link: Link, sender: oneshot::Sender<Outcome>) -> u64 {
        let call = self.next_call;
        self.next_call += 1;
        self.waiting.insert(call, (link, sender));
        call
    }

    /// The delays of a message's copies; none if it is lost.
    pub(super) fn draw(&mut self, link: Link) -> Vec<Duration> {
        self.counts.sent += 1;
        let cut = self.mute.contains(&link.0) || self.blocked.contains_key(&link);
        if cut || self.random.chance(self.weather.drop) {
            self.counts.lost += 1;
            return Vec::new();
        }
        let mut copies = vec![self.delay(link)];
        if self.random.chance(self.weather.duplicate) {
            self.counts.duplicated += 1;
            copies.push(self.delay(link));
        }
        copies
    }

    fn delay(&mut self, link: Link) -> Duration {
        let weather = self.weather;
        let slowest = if self.random.chance(weather.late) {
            weather.tail
        } else {
            weather.slowest
        };
        let extra = self.slow.get(&link).copied().unwrap_or_default();
        self.random.between(weather.fastest, slowest.max(weather.fastest)) + extra
    }

    /// Who takes a request that has come all the way; `None` if it is lost after all.
    pub(super) fn arrive(&mut self, link: Link) -> Option<(Group, Handler)> {
        if !self.passes(link) {
            return None;
        }
        let endpoint = self.up.get(&link.1)?;
        self.counts.delivered += 1;
        Some((endpoint.group, endpoint.handler.clone()))
    }

    /// Whether a message that was under way gets to its end. An answer needs no more: who asked may be
    /// starting still, and not take requests.
    pub(super) fn passes(&mut self, link: Link) -> bool {
        let cut = self.blocked.contains_key(&link) || self.mute.contains(&link.1);
        self.counts.lost += u64::from(cut);
        !cut
    }

    /// The calls that hear of the death of `address`, and when.
    pub(super) fn break_calls(
        &mut self,
        address: SocketAddr,
    ) -> Vec<(SocketAddr, oneshot::Sender<Outcome>, Duration)> {
        let calls: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, ((_, to), _))| *to == address)
            .map(|(call, _)| *call)
            .collect();
        let mut broken = Vec::new();
        for call in calls {
            if self.random.chance(500)
                && let Some((_, sender)) = self.waiting.remove(&call)
            {
                let delay = self
                    .random
                    .between(self.weather.fastest, Duration::from_millis(50));
                broken.push((address, sender, delay));
            }
        }
        broken
    }
}
