//! `--fault`: what is done to the servers in a run, and when.
//!
//! `kill:node2@30s,restart@60s`: entries by comma, each `ACTION[:nodeN]@TIME`. The time counts from the end of the
//! warm-up. An entry without a node means the last one that was named before it, in the order in which they are written; where none
//! was it means node2, or node1 if there is only one.
//!
//! What that would leave in doubt is refused: `decommission`, after which a node does not come back, names its node; and so does what
//! follows a `join`, which may mean the new one. `join` and `heal` have no node.

use std::{fmt, time::Duration};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// The node is started again; stopped properly before, if it runs.
    Restart,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
    /// The node is cut off from all others; clients still reach it.
    Partition,
    /// All partitions end.
    Heal,
    /// A new node is started.
    Join,
    /// The node is asked to leave.
    Decommission,
}

/// The actions by name.
const ACTIONS: [(&str, Action); 8] = [
    ("kill", Action::Kill),
    ("restart", Action::Restart),
    ("pause", Action::Pause),
    ("resume", Action::Resume),
    ("partition", Action::Partition),
    ("heal", Action::Heal),
    ("join", Action::Join),
    ("decommission", Action::Decommission),
];

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ACTIONS
            .iter()
            .find(|(_, action)| action == self)
            .map_or("", |(name, _)| *name);
        f.write_str(name)
    }
}

/// Something that is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub action: Action,
    /// To whom, from 1. Of `join` and `heal` it has no meaning.
    pub node: u32,
    /// When, from the end of the warm-up.
    pub at: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            action @ (Action::Join | Action::Heal) => action.fmt(f),
            action => write!(f, "{action} node{}", self.node),
        }
    }
}

/// Reads `--fault`, for a cluster of `nodes` nodes. The faults come in the order of their times.
///
/// # Errors
/// A sentence with the entry that does not fit, and what is allowed.
pub fn parse(text: &str, nodes: u32) -> Result<Vec<Fault>, String> {
    let mut faults: Vec<Fault> = Vec::new();
    // The one that an entry means which names none; absent where that is in doubt.
    let mut meant = Some(nodes.min(2));
    for entry in text.split(',').map(str::trim) {
        let (what, at) = entry.split_once('@').ok_or_else(|| {
            format!("'{entry}' has no time: write ACTION[:nodeN]@TIME, as in kill:node2@30s")
        })?;
        let (action, who) = what
            .split_once(':')
            .map_or((what, None), |(action, who)| (action, Some(who)));
        let known = ACTIONS.iter().find(|(name, _)| *name == action);
        let (_, action) = *known.ok_or_else(|| {
            let names = ACTIONS.map(|(name, _)| name).join(", ");
            format!("'{action}' is no fault; allowed are {names}")
        })?;
        let has_node = !matches!(action, Action::Join | Action::Heal);
        if let Some(who) = who {
            if !has_node {
                return Err(format!("'{action}' has no node: write {action}@TIME"));
            }
            let number = who.strip_prefix("node").and_then(|number| number.parse().ok());
            meant = Some(number.ok_or_else(|| format!("'{who}' is no node: write node1, node2, ..."))?);
        } else if action == Action::Decommission || (has_node && meant.is_none()) {
            return Err(format!(
                "'{entry}' must say which node it means: write {action}:nodeN@TIME"
            ));
        }
        let node = meant.unwrap_or(0);
        let joined = faults.iter().filter(|fault| fault.action == Action::Join).count() as u32;
        if has_node && !(1..=nodes + joined).contains(&node) {
            return Err(format!(
                "there is no node{node} then; the cluster has node1 to node{}",
                nodes + joined
            ));
        }
        let at = duration(at)?;
        faults.push(Fault { action, node, at });
        if action == Action::Join {
            meant = None;
        }
    }
    faults.sort_by_key(|fault| fault.at);
    Ok(faults)
}

/// Whether something must stand between the nodes that can cut them off.
pub fn needs_relay(faults: &[Fault]) -> bool {
    faults.iter().any(|fault| fault.action == Action::Partition)
}

/// `500ms`, `30s`, `2m`, `1h`; a number alone is seconds.
///
/// # Errors
/// A sentence with what is allowed.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let value = number.parse::<f64>().unwrap_or(f64::NAN) * seconds;
    if (0.0..=1e9).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(format!("'{text}' is no time: write 500ms, 30s, 2m or 1h"))
    }
}
