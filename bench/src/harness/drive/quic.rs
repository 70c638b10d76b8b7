//! A lane over our own client: QUIC, routed by token.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream::FuturesUnordered};
use starling_client::{Prepared, Session};

use super::{
    super::workload::script::{Bound, Look, Program},
    alarm::Alarm,
    answer::{APPLIED, Answer, Failure},
    lane::{Lane, Work},
};
use crate::error::Error;

/// How long a lane that has nothing to do waits before it looks again.
const IDLE: Duration = Duration::from_millis(100);

/// A session to the nodes behind `contacts`.
///
/// # Errors
/// None of them answers.
pub async fn connect(contacts: &[String], timeout: Duration) -> Result<Session, Error> {
    Session::builder()
        .contacts(contacts)
        .timeout(timeout)
        // As drivers of CQL do. What was sent to a node that dies then goes to another.
        .client_timestamps(true)
        .connect()
        .await
        .map_err(|error| Error::Statement(error.to_string()))
}

/// Drives a lane over a session of its own.
///
/// # Errors
/// The session can't be made, or the server refuses a statement when it is prepared.
pub async fn run(mut lane: Lane, contacts: &[String], window: usize) -> Result<(), Error> {
    let session = connect(contacts, lane.timeout).await?;
    let prepared = prepare(&session, &lane.program).await?;
    let mut alarm = Alarm::new().map_err(Error::Machine)?;
    let mut flying = FuturesUnordered::new();
    loop {
        let now = Instant::now();
        while flying.len() < window
            && let Some(mut work) = lane.begin(now)
        {
            match bind(&mut lane, &mut work, &prepared) {
                Some(bound) => flying.push(carry_out(&session, &prepared, &lane, (work, bound))),
                None => break,
            }
        }
        if flying.is_empty() && lane.is_over(now) {
            break;
        }
        let room = flying.len() < window;
        let due = lane.pace.next_due().filter(|_| room);
        // Without anything in flight and nothing due the lane only waits for others to end the run.
        let idle = flying.is_empty() && due.is_none();
        let done = tokio::select! {
            Some(done) = flying.next() => Some(done),
            rung = alarm.until(due.unwrap_or(now)), if due.is_some() => {
                rung.map_err(Error::Machine)?;
                None
            }
            () = tokio::time::sleep(IDLE), if idle => None,
        };
        if let Some((work, outcome)) = done
            && let Some(mut work) = lane.answered(work, outcome, Instant::now())
            && let Some(bound) = bind(&mut lane, &mut work, &prepared)
        {
            flying.push(carry_out(&session, &prepared, &lane, (work, bound)));
        }
    }
    drop(flying);
    lane.close();
    Ok(())
}

/// Prepares a workload's statements.
///
/// # Errors
/// The server refuses one.
pub async fn prepare(session: &Session, program: &Program) -> Result<Vec<Prepared>, Error> {
    let mut all = Vec::new();
    for statement in &program.statements {
        let prepared = session
            .prepare(statement.cql.as_str())
            .await
            .map_err(|error| Error::Statement(error.to_string()))?
            .with_consistency(statement.consistency)
            .with_page_size(statement.page_size);
        all.push(match statement.serial_consistency {
            Some(serial) => prepared.with_serial_consistency(serial),
            None => prepared,
        });
    }
    Ok(all)
}

/// The values; `None` if the workload does not fit, which ends all lanes.
fn bind(lane: &mut Lane, work: &mut Work, prepared: &[Prepared]) -> Option<Bound> {
    let markers = prepared[lane.statement_of(work)].markers();
    match lane.bind(work, markers) {
        Ok(bound) => Some(bound),
        Err(message) => {
            lane.abort.with(message);
            None
        }
    }
}

fn carry_out<'a>(
    session: &'a Session,
    prepared: &'a [Prepared],
    lane: &Lane,
    (work, bound): (Work, Bound),
) -> impl Future<Output = (Work, Result<Answer, Failure>)> + use<'a> {
    let statement = lane.statement_of(&work);
    let look = lane.program.statements[statement].look.clone();
    let prepared = &prepared[statement];
    async move {
        let outcome = match session.execute(prepared, &bound.data).await {
            Ok(response) => read(response, &look),
            Err(error) => Err(error.into()),
        };
        (work, outcome)
    }
}

/// What is looked at in an answer.
///
/// # Errors
/// It is not there, or of another type.
pub fn read(response: starling_client::Response, look: &Look) -> Result<Answer, Failure> {
    if *look == Look::Nothing {
        return Ok(Answer::default());
    }
    let rows = response.rows()?;
    let first = rows.iter().next();
    let (mut version, mut applied) = (None, None);
    match (look, first) {
        (Look::Version(column), Some(row)) => version = row.get::<Option<i64>>(column)?,
        (Look::Applied, Some(row)) => applied = Some(row.get::<bool>(APPLIED)?),
        (Look::Applied, None) => {
            return Err(Failure::lost(
                "Protocol",
                "the server does not say whether it was applied",
            ));
        }
        _ => {}
    }
    Ok(Answer {
        rows: rows.len(),
        version,
        applied,
    })
}
