//! What background work fails of, for as long as it does.

use std::collections::BTreeMap;

use starling_model::TableId;
use starling_sstable::Task;

/// Tasks that failed and are tried again, and those that are under way.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Why each failed the last time.
    failed: BTreeMap<Task, String>,
    /// How many jobs of each are out.
    out: BTreeMap<Task, usize>,
}

impl Failures {
    /// A job is handed out.
    pub(super) fn begun(&mut self, task: Task) {
        *self.out.entry(task).or_default() += 1;
    }

    /// A job is back; it may have failed.
    pub(super) fn ended(&mut self, task: Task, error: Option<String>) {
        if let Some(out) = self.out.get_mut(&task) {
            *out -= 1;
            if *out == 0 {
                self.out.remove(&task);
            }
        }
        match error {
            Some(error) => drop(self.failed.insert(task, error)),
            None => drop(self.failed.remove(&task)),
        }
    }

    /// All that is due was handed out: what is not among it is not tried again, because a truncation, a repair or another job
    /// has left nothing of it to do, or waits for something else.
    pub(super) fn all_begun(&mut self) {
        self.failed.retain(|task, _| self.out.contains_key(task));
    }

    /// What flushes fail of, in words.
    pub(super) fn of_flushes(&self) -> Option<String> {
        self.first(|task| matches!(task, Task::Flush(_)))
            .map(|error| tried_again("flushes", error))
    }

    /// What compactions fail of, of some tables or (`None`) of any.
    pub(super) fn of_compactions(&self, tables: Option<&[TableId]>) -> Option<String> {
        let is_asked = |task: Task| matches!(task, Task::Compaction(id) if tables.is_none_or(|tables| tables.contains(&id)));
        self.first(is_asked)
            .map(|error| tried_again("compactions", error))
    }

    fn first(&self, is_asked: impl Fn(Task) -> bool) -> Option<&String> {
        // Nothing counts before it is installed.
        let concerns = |task: Task| task == Task::Install || is_asked(task);
        let mut all = self.failed.iter();
        all.find_map(|(task, error)| concerns(*task).then_some(error))
    }
}

fn tried_again(what: &str, reason: &str) -> String {
    format!("{what} fail and are tried again: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TableId = TableId(1);
    const OTHER: TableId = TableId(2);

    fn fail(failures: &mut Failures, task: Task) {
        failures.begun(task);
        failures.ended(task, Some(format!("{task:?}")));
    }

    #[test]
    fn what_fails_is_told_to_who_waits_for_it() {
        let mut failures = Failures::default();
        fail(&mut failures, Task::Compaction(OTHER));
        assert_eq!(
            failures.of_flushes(),
            None,
            "a flush does not wait for compactions"
        );
        assert_eq!(failures.of_compactions(Some(&[ONE])), None);
        for tables in [None, Some(&[ONE, OTHER][..])] {
            assert_eq!(
                failures.of_compactions(tables).as_deref(),
                Some("compactions fail and are tried again: Compaction(TableId(2))")
            );
        }
        fail(&mut failures, Task::Flush(ONE));
        assert!(failures.of_flushes().is_some());
        assert!(failures.of_compactions(None).is_some(), "neither hides the other");
        // Another job of the shard says nothing of these.
        failures.begun(Task::Flush(OTHER));
        failures.ended(Task::Flush(OTHER), None);
        assert!(failures.of_flushes().is_some());
        failures.begun(Task::Flush(ONE));
        failures.ended(Task::Flush(ONE), None);
        assert_eq!(failures.of_flushes(), None);
        fail(&mut failures, Task::Install);
        assert!(failures.of_flushes().is_some(), "they wait to be installed");
    }

    #[test]
    fn what_is_not_tried_again_does_not_fail_any_more() {
        let mut failures = Failures::default();
        fail(&mut failures, Task::Flush(ONE));
        fail(&mut failures, Task::Compaction(ONE));
        failures.begun(Task::Flush(ONE));
        failures.all_begun();
        assert!(failures.of_flushes().is_some(), "it is under way again");
        assert_eq!(failures.of_compactions(None), None);
    }
}
