//! In which order everything is measured at a cluster.
//!
//! What is compared takes turns, and reads come before everything that writes: they find the rows as loading left them, each
//! written once, as the engine's own get does. A run of writes leaves further states of many of them behind.

use std::fmt;

/// The operation that changes rows.
pub const WRITE: &str = "write";

/// The operations, in this order.
const OPERATIONS: [&str; 2] = ["read", WRITE];

/// The protocols, in turn.
const PROTOCOLS: [&str; 2] = ["cql", "quic"];

/// What is measured next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The engine and the transports by themselves, beside runs of this operation.
    Alone(&'static str),
    /// An operation, by this protocol.
    Run(&'static str, &'static str),
    /// The same where somebody looks: one in flight, system calls, parts.
    Closely(&'static str, &'static str),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone(operation) => write!(f, "engine and transports alone, beside {operation}"),
            Self::Run(operation, protocol) => write!(f, "{operation} by {protocol}"),
            Self::Closely(operation, protocol) => {
                write!(f, "{operation} by {protocol}, looked at closely")
            }
        }
    }
}

/// Everything that is measured at one cluster, with so many runs of each operation and protocol.
pub fn steps(runs: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    for operation in OPERATIONS {
        for _ in 0..runs {
            steps.push(Step::Alone(operation));
            steps.extend(PROTOCOLS.map(|protocol| Step::Run(operation, protocol)));
        }
        steps.extend(PROTOCOLS.map(|protocol| Step::Closely(operation, protocol)));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_before_the_last_read() {
        let steps = steps(2);
        let of = |step: &Step| match *step {
            Step::Alone(_) => None,
            Step::Run(operation, _) | Step::Closely(operation, _) => Some(operation),
        };
        let operations: Vec<&str> = steps.iter().filter_map(of).collect();
        let writes = operations.iter().position(|operation| *operation == WRITE);
        let (reads, writes) = operations.split_at(writes.expect("there are writes"));
        assert!(reads.len() == 6 && writes.len() == 6);
        assert!(!writes.contains(&"read"), "{steps:?}");
    }

    #[test]
    fn what_is_compared_takes_turns() {
        let round = [
            Step::Alone("read"),
            Step::Run("read", "cql"),
            Step::Run("read", "quic"),
        ];
        assert_eq!(steps(2)[..6], [round, round].concat());
    }
}
