//! `starling topology`.

use clap::{Args, Subcommand};

use super::{AdminArgs, order, plan};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct TopologyArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(subcommand)]
    command: Option<TopologyCommand>,
}

#[derive(Debug, Subcommand)]
enum TopologyCommand {
    /// Show what a change would move, how long that takes, and where it leads; changes nothing
    Plan(PlanArgs),
    /// Give the change that is under way up; if all data was there already, it is done instead
    Abort(AdminArgs),
}

#[derive(Debug, Args)]
struct PlanArgs {
    #[command(subcommand)]
    change: PlannedChange,
}

#[derive(Debug, Subcommand)]
enum PlannedChange {
    /// A new node comes in
    Join {
        #[command(flatten)]
        admin: AdminArgs,
        /// The datacenter it would stand in [default: that of the node that is asked]
        #[arg(long)]
        dc: Option<String>,
        /// The rack it would stand in [default: that of the node that is asked]
        #[arg(long)]
        rack: Option<String>,
        /// How many tokens it would take
        #[arg(long, default_value_t = 16)]
        vnodes: u32,
    },
    /// A live node goes
    Leave {
        #[command(flatten)]
        admin: AdminArgs,
        /// Which, by host id or address [default: the node that is asked]
        node: Option<String>,
    },
    /// Dead nodes go
    Remove {
        #[command(flatten)]
        admin: AdminArgs,
        /// Which, by host ids or addresses
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// A new node takes a dead one's place
    Replace {
        #[command(flatten)]
        admin: AdminArgs,
        /// The dead node, by host id or address
        node: String,
        /// The datacenter that the new one would stand in [default: that of the dead one]
        #[arg(long)]
        dc: Option<String>,
        /// The rack that the new one would stand in [default: that of the dead one]
        #[arg(long)]
        rack: Option<String>,
    },
    /// A live node stands in another rack: it is started there with another `--rack`
    Move {
        #[command(flatten)]
        admin: AdminArgs,
        /// Which, by host id or address [default: the node that is asked]
        node: Option<String>,
        /// The rack it would stand in
        #[arg(long)]
        rack: String,
    },
    /// A keyspace gets other replicas
    Alter {
        #[command(flatten)]
        admin: AdminArgs,
        /// As CQL says it: ALTER KEYSPACE ... WITH replication = {...}
        statement: String,
    },
}

pub(super) fn run(args: &TopologyArgs) -> Result<(), Failure> {
    match &args.command {
        None => order::show(&args.admin),
        Some(TopologyCommand::Plan(args)) => show_plan(&args.change),
        Some(TopologyCommand::Abort(args)) => order::abort(args),
    }
}

fn show_plan(change: &PlannedChange) -> Result<(), Failure> {
    match change {
        PlannedChange::Join {
            admin,
            dc,
            rack,
            vnodes,
        } => {
            let vnodes = vnodes.to_string();
            let mut query = vec![("change", "join"), ("vnodes", &vnodes)];
            query.extend(dc.as_deref().map(|dc| ("dc", dc)));
            query.extend(rack.as_deref().map(|rack| ("rack", rack)));
            plan::show(admin, &query)
        }
        PlannedChange::Leave { admin, node } => {
            let mut query = vec![("change", "leave")];
            query.extend(node.as_deref().map(|node| ("node", node)));
            plan::show(admin, &query)
        }
        PlannedChange::Remove { admin, nodes } => {
            plan::show(admin, &[("change", "remove"), ("node", &nodes.join(","))])
        }
        PlannedChange::Replace {
            admin,
            node,
            dc,
            rack,
        } => {
            let mut query = vec![("change", "replace"), ("node", node.as_str())];
            query.extend(dc.as_deref().map(|dc| ("dc", dc)));
            query.extend(rack.as_deref().map(|rack| ("rack", rack)));
            plan::show(admin, &query)
        }
        PlannedChange::Move { admin, node, rack } => {
            let mut query = vec![("change", "move"), ("rack", rack.as_str())];
            query.extend(node.as_deref().map(|node| ("node", node)));
            plan::show(admin, &query)
        }
        PlannedChange::Alter { admin, statement } => {
            plan::show(admin, &[("change", "alter"), ("statement", statement)])
        }
    }
}
