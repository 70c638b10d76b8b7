//! Reading every record once more when the run is over.

use std::time::{Duration, Instant};

use super::{
    super::{
        drive::{
            answer::{Answer, Failure},
            cql::Asker,
            plan::{Plan, Protocol},
            quic,
        },
        workload::{
            field::Subject,
            random::Random,
            script::{Program, Role},
        },
    },
    Verifier,
};
use crate::error::Error;

/// How long a record is tried to be read: a node may just have come back.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads every record that the verifier followed and that was not read at the end before, at the plan's level.
///
/// # Errors
/// A record can't be read in time: then nothing is known of it.
pub async fn read(plan: &Plan, verifier: &Verifier) -> Result<(), Error> {
    let program = plan.program()?;
    let place = program
        .statements
        .iter()
        .position(|statement| statement.role == Role::Read);
    let place = place.ok_or_else(|| Error::Usage("the workload's [verify] names no read".into()))?;
    let mut reader = Reader::open(plan, &program).await?;
    let mut random = Random::new(0);
    for record in verifier.unread() {
        let deadline = Instant::now() + PATIENCE;
        let subject = Subject {
            record,
            ..Subject::default()
        };
        loop {
            match reader.read(&program, place, subject, &mut random).await {
                Ok(answer) => {
                    verifier.final_read(record, answer.version);
                    break;
                }
                Err(failure) if failure.passing && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failure) => {
                    return Err(Error::Statement(format!("record {record}: {}", failure.message)));
                }
            }
        }
    }
    Ok(())
}

/// A connection of either protocol.
enum Reader {
    Cql(Box<Asker>),
    Quic(starling_client::Session, Vec<starling_client::Prepared>),
}

impl Reader {
    async fn open(plan: &Plan, program: &Program) -> Result<Self, Error> {
        match plan.protocol {
            Protocol::Cql => Ok(Self::Cql(Box::new(
                Asker::open(&plan.addresses, program, plan.timeout).await?,
            ))),
            Protocol::Quic => {
                let contacts: Vec<String> = plan.addresses.iter().map(ToString::to_string).collect();
                let session = quic::connect(&contacts, plan.timeout).await?;
                let prepared = quic::prepare(&session, program).await?;
                Ok(Self::Quic(session, prepared))
            }
        }
    }

    async fn read(
        &mut self,
        program: &Program,
        place: usize,
        subject: Subject,
        random: &mut Random,
    ) -> Result<Answer, Failure> {
        match self {
            Self::Cql(asker) => asker.read(program, place, subject, random).await,
            Self::Quic(session, prepared) => {
                let bound = program
                    .bind(place, prepared[place].markers(), subject, random)
                    .map_err(|message| Failure::wrong("Type", message))?;
                let response = session.execute(&prepared[place], &bound.data).await?;
                quic::read(response, &program.statements[place].look)
            }
        }
    }
}
