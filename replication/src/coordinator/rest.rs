//! What is left of a stretch that several replicas can't read: all of it to all of them.
//!
//! An operator has accepted that there is no more ([`losses`](super::losses)). Each replica that is alive is read, those that are damaged
//! past what is damaged. Where one of the others turns out to be damaged, too, nothing is given up: nobody has accepted that. Each
//! gets what it lacks, and those that are damaged all of it, also what they could read: they may find more damaged meanwhile. Then
//! they are told to give the stretch up, this node last. So deletions are there before what is left besides can be seen again.
//!
//! Whoever breaks it off on the way leaves nothing half given up: who gave the stretch up has all that there is, and the others are
//! still damaged.

use std::sync::Arc;

use futures::future::{join, join_all};
use starling_model::{Consistency, Mutation, Page, ReadCommand, TableId, TokenRange};

use super::{
    Coordinator, Task,
    heal::{TOO_MANY_PIECES, page_command},
    read::Answer,
    reconcile::{EVERYTHING, reconcile},
    stretches::{Standing, Stretch},
};
use crate::{
    env::Env,
    message::{DamageRequest, Failure, Request, Response},
    peers::AskError,
    replica::failure,
    snapshot::Peer,
    tracing::Tracer,
};

/// The replicas of a stretch that are alive.
struct Living {
    whole: Vec<Arc<Peer>>,
    /// This node is the last.
    damaged: Vec<Arc<Peer>>,
}

impl<E: Env> Coordinator<E> {
    /// Takes what the living replicas of a stretch have for all there is. After an error nothing is given up here, and
    /// each of the others either has all that there is, or is still damaged.
    pub(super) async fn take_the_rest(&self, table: TableId, stretch: &Stretch) -> Result<(), String> {
        let snapshot = self.views.load();
        let own = snapshot.cluster.peers.get(&snapshot.cluster.me);
        let own = own.ok_or("this node does not know itself")?;
        let damaged = stretch.those(&[Standing::Damaged]).chain([own]);
        let living = Living {
            whole: stretch.those(&[Standing::Whole]).cloned().collect(),
            damaged: damaged.cloned().collect(),
        };
        let mut command = page_command(table, stretch.tokens, self.env.wall().seconds());
        loop {
            let page = self.level_page(&command, stretch, &living).await?;
            if page.next.is_none() {
                break;
            }
            if page.next == command.after {
                return Err("a replica's page made no progress".to_owned());
            }
            command.after = page.next;
        }
        if self.views.load().cluster.stamp != stretch.planned {
            return Err("the ring changed meanwhile; try again in a while".to_owned());
        }
        for peer in stretch.those(&[Standing::Damaged]) {
            self.order_to_give_up(peer, table, stretch.tokens).await?;
        }
        let given_up = self.give_up_here(table, stretch.tokens).await;
        given_up.map_err(|failure| failure.to_string())
    }

    /// Reads one page of all, and gives each what it lacks.
    async fn level_page(
        &self,
        command: &ReadCommand,
        stretch: &Stretch,
        living: &Living,
    ) -> Result<Page, String> {
        let task = Task {
            planned: stretch.planned,
            ..self.task(Consistency::All, self.timeouts.range, &Tracer::OFF)
        };
        let whole = join_all(
            living
                .whole
                .iter()
                .map(|peer| self.page_of_whole(peer, command, &task)),
        );
        let rest = join_all(
            living
                .damaged
                .iter()
                .map(|peer| self.page_of_rest(peer, command, &task)),
        );
        let (whole, rest) = join(whole, rest).await;
        let replicas = living.whole.iter().chain(&living.damaged);
        let mut pages = Vec::with_capacity(living.whole.len() + living.damaged.len() + 1);
        for (peer, page) in replicas.zip(whole.into_iter().chain(rest)) {
            pages.push(page.map_err(|error| not_read(peer, &error))?);
        }
        pages.push(Page::default());
        let reconciled = reconcile(command, pages, EVERYTHING);
        let mut missing = reconciled.missing;
        let all = missing.pop().unwrap_or_default();
        missing.truncate(living.whole.len());
        let damaged = living.damaged.iter().map(|peer| (peer, all.clone()));
        let written = living.whole.iter().zip(missing).chain(damaged);
        let written = written.map(|(peer, missing)| self.level(peer, missing, &task));
        let written = join_all(written).await.into_iter();
        written.collect::<Result<(), String>>()?;
        Ok(reconciled.page)
    }

    async fn level(&self, peer: &Arc<Peer>, missing: Vec<Mutation>, task: &Task) -> Result<(), String> {
        if self.repair_one(peer, missing, task).await {
            return Ok(());
        }
        Err(format!("what it lacks could not be written to {}", peer.address))
    }

    async fn page_of_whole(&self, peer: &Peer, command: &ReadCommand, task: &Task) -> Result<Page, AskError> {
        match self.ask_for_page(peer, command.clone(), false, task).await? {
            Answer::Page(received) => Ok(received.page),
            Answer::Digest(_) => Err(AskError::Confused),
        }
    }

    async fn page_of_rest(&self, peer: &Peer, command: &ReadCommand, task: &Task) -> Result<Page, AskError> {
        let command = command.clone();
        let bytes = if peer.id == self.views.load().cluster.me {
            let _pass = self.views.admit(task.planned).own()?;
            self.replica.read_rest(command, task.deadline).await?.into_bytes()
        } else {
            let body = Request::Damage(DamageRequest::ReadRest(command));
            let timeout = task.deadline.remaining(&self.env);
            match self.peers.ask_for_page(peer, body, timeout, task).await? {
                Response::Page(bytes) => bytes,
                _ => return Err(AskError::Confused),
            }
        };
        Page::decode(bytes).map_err(|_| AskError::Confused)
    }

    async fn order_to_give_up(&self, peer: &Peer, table: TableId, tokens: TokenRange) -> Result<(), String> {
        let body = Request::Damage(DamageRequest::GiveUp { table, tokens });
        let answer = self
            .peers
            .ask(peer, body, self.timeouts.write, &Tracer::OFF)
            .await;
        let why = match answer {
            Ok(Response::Done) => return Ok(()),
            Ok(_) => AskError::Confused.to_string(),
            Err(error) => error.to_string(),
        };
        Err(format!(
            "{} did not say that it gave the damaged data up ({why}); try again in a while",
            peer.address
        ))
    }

    /// Gives up what is damaged here within tokens that do not wrap.
    pub(crate) async fn give_up_here(&self, table: TableId, tokens: TokenRange) -> Result<(), Failure> {
        if !self.give_up_damage(table, tokens).await.map_err(failure)? {
            return Err(Failure::Storage(TOO_MANY_PIECES.to_owned()));
        }
        self.counters.losses_accepted.one();
        Ok(())
    }
}

/// Of one that had all of its data, as far as it knew, or knew what it had not.
fn not_read(peer: &Peer, error: &AskError) -> String {
    match error {
        AskError::Failed(Failure::Damaged(what)) => format!(
            "more was found to be damaged on {} just now ({what}); see first what could be lost with it",
            peer.address
        ),
        error => format!(
            "{} could not be read: {error}; try again in a while",
            peer.address
        ),
    }
}
