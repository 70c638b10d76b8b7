//! The demo's course: start, wait, load, open the shell or stay, stop.

use std::{io::Write, time::Duration};

use starling_client::shell;
use tokio::signal::unix::{SignalKind, signal};

use super::{DemoArgs, children::Children, data, directory::Directory, plan::Plan, ready};
use crate::failure::Failure;

/// How often the nodes are looked at.
const WATCH: Duration = Duration::from_millis(200);

/// Runs it; the exit code is the shell's, or 0 after an interrupt.
pub(super) async fn run(args: &DemoArgs) -> Result<u8, Failure> {
    // First of all: from here on an interrupt ends the demo in order.
    let mut stop =
        Stop::listen().map_err(|error| Failure::work(format!("cannot listen for signals: {error}")))?;
    let dir = Directory::open(args.dir.clone())?;
    let plan = Plan::make(args, dir.path())?;
    let mut children = Children::start(&plan)?;
    let prepared = async {
        ready::wait(&plan, &mut children).await?;
        if !args.no_data {
            data::load(&plan, args.flights.as_deref()).await?;
        }
        Ok(())
    };
    let outcome = tokio::select! {
        prepared = prepared => match prepared {
            Ok(()) => serve(args, &plan, &mut children, &mut stop).await,
            Err(failure) => Err(failure),
        },
        () = stop.any() => Ok(0),
    };
    // Waiting for processes blocks; nothing else is left to do.
    tokio::task::block_in_place(|| children.stop());
    outcome
}

/// From `ready:` to the end.
async fn serve(
    args: &DemoArgs,
    plan: &Plan,
    children: &mut Children,
    stop: &mut Stop,
) -> Result<u8, Failure> {
    announce(plan);
    if args.no_shell {
        return tokio::select! {
            () = stop.any() => Ok(0),
            () = watch(plan, children) => Err(Failure::work("no node runs any more")),
        };
    }
    let options = shell::Options {
        contacts: plan.nodes.iter().map(|node| node.listen.to_string()).collect(),
        ca: Some(plan.ca.clone()),
        ..shell::Options::default()
    };
    tokio::select! {
        code = shell::run(options) => Ok(code),
        // An interrupt is the shell's own: it cancels a line or a query.
        () = stop.terminate() => Ok(0),
        () = watch(plan, children) => Err(Failure::work("no node runs any more")),
    }
}

/// The line that scripts wait for.
fn announce(plan: &Plan) {
    let list = |address: fn(&super::plan::PlannedNode) -> String| {
        plan.nodes.iter().map(address).collect::<Vec<_>>().join(" ")
    };
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output does not wait for the line.
    let _ = writeln!(
        out,
        "ready: {} nodes; CQL {}; native {}; admin {}; CA {}; files {}",
        plan.nodes.len(),
        list(|node| node.cql.to_string()),
        list(|node| node.listen.to_string()),
        list(|node| node.admin.to_string()),
        plan.ca.display(),
        plan.dir.display()
    );
    let _ = out.flush();
}

/// Reports nodes that end; ends when none is left.
async fn watch(plan: &Plan, children: &mut Children) {
    loop {
        for ended in children.take_ended() {
            eprintln!(
                "\r\n{}. Start it again with: starling node --config {}",
                ended.describe(),
                ended.node.config.display()
            );
        }
        if children.all_ended() && !plan.nodes.is_empty() {
            return;
        }
        tokio::time::sleep(WATCH).await;
    }
}

/// The signals that end the demo.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Ctrl-C, a request to end, or the end of the terminal.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// A request to end, or the end of the terminal.
    async fn terminate(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
