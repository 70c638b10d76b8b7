//! The lanes of one process.

use std::{
    sync::{Arc, atomic::AtomicU64, mpsc::Sender},
    time::{Duration, Instant},
};

use super::{
    super::{
        evidence::recorder::{News, Recorder, Span},
        verify::Verifier,
        workload::{
            random::Random,
            script::{Program, Script},
        },
    },
    cql,
    lane::{Abort, Lane, Pass, Source},
    pace::Pace,
    plan::{Plan, Protocol},
    quic,
};
use crate::error::Error;

/// Makes the lanes of one process.
#[derive(Debug)]
pub struct Generator {
    plan: Plan,
    program: Arc<Program>,
    verifier: Option<Arc<Verifier>>,
}

impl Generator {
    /// Of a plan. The verifier, if there is one, judges what is read.
    ///
    /// # Errors
    /// The workload does not fit.
    pub fn new(plan: Plan, verifier: Option<Arc<Verifier>>) -> Result<Self, Error> {
        let program = Arc::new(plan.program()?);
        Ok(Self {
            plan,
            program,
            verifier,
        })
    }

    /// The workload, ready to be drawn from.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Loads or reads the records, each once, as fast as the plan's requests in flight allow. What it measured goes to `news`.
    ///
    /// # Errors
    /// A record can't be written, or read; others may have been.
    pub async fn each(&self, pass: Pass, records: u64, news: &Sender<News>) -> Result<(), Error> {
        if pass.steps(&self.program).is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let span = Span {
            start: now,
            measured: now,
            end: None,
        };
        let next = Arc::new(AtomicU64::new(0));
        let source = |lane: u64| Source::Each {
            pass,
            next: Arc::clone(&next),
            records,
            random: Random::new(self.plan.seed ^ (lane << 16)),
        };
        self.drive(span, news, source, |_| Pace::closed(None, None)).await
    }

    /// Carries out the workload from `start` on. What it measured goes to `news`.
    ///
    /// # Errors
    /// The workload does not fit the server. Failed statements are no errors here: they are counted.
    pub async fn run(&self, start: Instant, news: &Sender<News>) -> Result<(), Error> {
        let plan = &self.plan;
        let measured = start + plan.warm_up;
        let end = plan.duration.map(|duration| measured + duration);
        let span = Span { start, measured, end };
        let budget = plan
            .operations
            .map(|operations| Arc::new(AtomicU64::new(operations)));
        let lanes = u64::from(plan.lanes());
        let pace = |lane: u64| match plan.rate {
            None => Pace::closed(end, budget.clone()),
            Some(rate) => {
                let interval = Duration::from_secs_f64(lanes as f64 / rate);
                // Lanes take turns, and processes too.
                let phase = (lane as f64 + plan.process as f64 / plan.processes as f64) / lanes as f64;
                Pace::open(start + interval.mul_f64(phase), interval, end, budget.clone())
            }
        };
        let source = |lane: u64| {
            Source::Run(Script::new(
                Arc::clone(&self.program),
                plan.seed.wrapping_add(lane),
            ))
        };
        self.drive(span, news, source, pace).await
    }

    async fn drive(
        &self,
        span: Span,
        news: &Sender<News>,
        source: impl Fn(u64) -> Source,
        pace: impl Fn(u64) -> Pace,
    ) -> Result<(), Error> {
        let plan = &self.plan;
        let abort = Arc::new(Abort::default());
        let lanes = plan.lanes();
        // What comes before the run is one operation, even of a workload that has several.
        let operations = self.program.operations.len();
        let mut running = tokio::task::JoinSet::new();
        for number in 0..lanes {
            let window = plan.in_flight.max(1) / lanes + u32::from(number < plan.in_flight.max(1) % lanes);
            let lane = Lane {
                program: Arc::clone(&self.program),
                source: source(u64::from(number)),
                pace: pace(u64::from(number)),
                recorder: Recorder::new(span, operations, news.clone()),
                abort: Arc::clone(&abort),
                verifier: self.verifier.clone(),
                session: number,
                timeout: plan.timeout,
            };
            let addresses = plan.addresses.clone();
            // Processes take turns as lanes do, so that their connections spread over all nodes.
            let first = plan.process as usize + number as usize * plan.processes as usize;
            let protocol = plan.protocol;
            running.spawn(async move {
                let window = window as usize;
                tokio::time::sleep_until(span.start.into()).await;
                match protocol {
                    Protocol::Cql => {
                        cql::run(lane, &addresses, first, window).await;
                        Ok(())
                    }
                    Protocol::Quic => {
                        let contacts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                        quic::run(lane, &contacts, window).await
                    }
                }
            });
        }
        while let Some(lane) = running.join_next().await {
            lane.map_err(|error| Error::Protocol(error.to_string()))??;
        }
        abort
            .reason()
            .map_or(Ok(()), |reason| Err(Error::Statement(reason)))
    }
}
