//! Prints the trace of a request, as soon as the cluster has written it down.

use std::time::Duration;

use starling_cql::{ColumnSpec, request::Value};
use uuid::Uuid;

use super::{
    engine::{Failure, Shell},
    options::Format,
    render,
};
use crate::{Consistency, Rows};

/// How often it is asked for, with growing pauses: two seconds in all.
const ATTEMPTS: u32 = 8;

/// Prints a trace. It is beside the result: where rows are for a machine, it goes to standard error.
pub(super) async fn print(shell: &mut Shell, id: Uuid) -> Result<(), Failure> {
    if !wait(shell, id).await? {
        shell.output.warning(&format!(
            "the trace {id} isn't complete yet; look for it in system_traces"
        ));
    }
    let text = format!(
        "SELECT activity, source, source_elapsed, thread FROM system_traces.events WHERE session_id = {id}"
    );
    let events = query(shell, &text).await?;
    shell.say(&format!("\nTracing session: {id}"))?;
    let mut printed = Vec::new();
    let mut renderer = render::renderer(Format::Table, false, shell.output.colours);
    let (columns, rows): (&[ColumnSpec], &[Vec<Value>]) = (events.columns(), &events.0.rows);
    renderer.page(&mut printed, columns, rows)?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    shell.say(&printed)?;
    Ok(())
}

/// Waits until the coordinator has noted how long the request took.
async fn wait(shell: &Shell, id: Uuid) -> Result<bool, Failure> {
    let text = format!("SELECT duration FROM system_traces.sessions WHERE session_id = {id}");
    for attempt in 0..ATTEMPTS {
        let session = query(shell, &text).await?;
        if session
            .first::<(Option<i32>,)>()?
            .is_some_and(|(duration,)| duration.is_some())
        {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
    }
    Ok(false)
}

async fn query(shell: &Shell, text: &str) -> Result<Rows, Failure> {
    let statement = shell.session.statement(text).with_consistency(Consistency::One);
    Ok(shell.session.query(statement).await?.rows()?)
}
