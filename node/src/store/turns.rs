//! Which of the jobs of the background threads comes next.
//!
//! - *Prompt* jobs take turns: someone waits for them (a node that joins, an operator's snapshot), or they give space back.
//! - *Paced* jobs (compactions, scrubbing) take turns too, and rest between their steps, which holds up nobody else.
//!
//! Prompt and paced jobs alternate while the latter need not rest, so neither starves the other.

use std::{collections::VecDeque, time::Instant};

/// What a job may hold up, and what holds it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Prompt,
    Paced,
}

/// The jobs that wait for their next step.
#[derive(Debug)]
pub(super) struct Turns<T> {
    prompt: VecDeque<T>,
    paced: VecDeque<T>,
    /// Paced jobs rest until then.
    rest_until: Option<Instant>,
    /// A prompt job had the last turn.
    prompt_was_last: bool,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            prompt: VecDeque::new(),
            paced: VecDeque::new(),
            rest_until: None,
            prompt_was_last: false,
        }
    }
}

impl<T> Turns<T> {
    /// A job that is new, or that goes on after all others of its class had their turn.
    pub(super) fn enqueue(&mut self, class: Class, job: T) {
        match class {
            Class::Prompt => self.prompt.push_back(job),
            Class::Paced => self.paced.push_back(job),
        }
    }

    /// Paced jobs rest until then, or longer if that was said before.
    pub(super) fn rest(&mut self, until: Instant) {
        self.rest_until = self.rest_until.max(Some(until));
    }

    /// Whether nothing waits, not even what rests.
    pub(super) fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.paced.is_empty()
    }

    /// The job whose turn it is; `None` if there is none, or all that there are rest.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        let has_rested = self.rest_until.is_none_or(|until| until <= now);
        if has_rested
            && (self.prompt_was_last || self.prompt.is_empty())
            && let Some(job) = self.paced.pop_front()
        {
            self.prompt_was_last = false;
            return Some(job);
        }
        self.prompt_was_last = true;
        self.prompt.pop_front()
    }

    /// Until when there is nothing to do but to rest; `None`: until something new comes. Only after
    /// [`next`](Self::next) had nothing.
    pub(super) fn idle_until(&self) -> Option<Instant> {
        self.rest_until.filter(|_| !self.paced.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Class::*, *};

    #[test]
    fn only_paced_jobs_rest() {
        let now = Instant::now();
        let mut turns = Turns::default();
        turns.enqueue(Paced, "compaction");
        assert_eq!(turns.next(now), Some("compaction"));
        let later = now + Duration::from_secs(3);
        turns.rest(later);
        turns.enqueue(Paced, "compaction");
        assert_eq!((turns.next(now), turns.idle_until()), (None, Some(later)));
        turns.enqueue(Prompt, "export");
        assert_eq!(turns.next(now), Some("export"));
        turns.enqueue(Prompt, "export");
        assert_eq!(turns.next(now), Some("export"));
        assert_eq!(turns.next(now), None);
        assert_eq!(turns.next(later), Some("compaction"));
        assert_eq!((turns.next(later), turns.idle_until()), (None, None));
    }

    #[test]
    fn prompt_and_paced_jobs_take_turns() {
        let now = Instant::now();
        let mut turns = Turns::default();
        turns.enqueue(Paced, "compaction");
        turns.enqueue(Prompt, "export");
        turns.enqueue(Prompt, "ingest");
        let mut order = Vec::new();
        for _ in 0..6 {
            let job = turns.next(now).expect("all have more to do");
            order.push(job);
            turns.enqueue(if job == "compaction" { Paced } else { Prompt }, job);
        }
        let both = [
            "export",
            "compaction",
            "ingest",
            "compaction",
            "export",
            "compaction",
        ];
        assert_eq!(order, both);
    }
}
