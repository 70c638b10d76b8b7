//! Many clients, each of which waits for its own write, on few shards: as a node serves connections.

use std::{io, sync::Arc, thread};

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use starling_sstable::{Log, ShardMap};

use super::{
    Shard,
    encoder::{Encoder, decorated},
    failed,
};
use crate::engine::{
    error::Error,
    rows::Key,
    session::{Session, Settings},
};

/// Requests that a shard takes at one wake-up, before it hands their acknowledgements on.
const BATCH: usize = 256;

/// How a request went, to whoever waits for it.
type Ack = Sender<Result<(), Error>>;

enum Request {
    Apply(Vec<u8>, Ack),
    Settle(Ack),
}

/// Gives each of `settings.threads` clients a way to all shards. The shards' threads end when the last client is gone.
pub(super) fn open(
    settings: &Settings,
    map: ShardMap,
    shards: Vec<Shard>,
) -> io::Result<Vec<Box<dyn Session>>> {
    let mut inboxes = Vec::new();
    for shard in shards {
        let (inbox, requests) = unbounded();
        let (groups, waiting) = unbounded();
        let log = Arc::clone(&shard.log);
        thread::Builder::new().spawn(move || commit(&log, &waiting))?;
        thread::Builder::new().spawn(move || serve(shard, &requests, &groups))?;
        inboxes.push(inbox);
    }
    Ok((0..settings.threads)
        .map(|_| {
            let (ack, answers) = bounded(1);
            Box::new(Client {
                encoder: Encoder::new(settings),
                map,
                inboxes: inboxes.clone(),
                ack,
                answers,
            }) as Box<dyn Session>
        })
        .collect())
}

/// Takes what waits, applies it, and hands the acknowledgements on together.
fn serve(mut shard: Shard, requests: &Receiver<Request>, groups: &Sender<Vec<Ack>>) {
    while let Ok(first) = requests.recv() {
        let mut group = Vec::new();
        for request in std::iter::once(first).chain(requests.try_iter().take(BATCH - 1)) {
            match request {
                Request::Apply(record, ack) => match shard.apply(&record) {
                    Ok(()) => group.push(ack),
                    Err(error) => drop(ack.send(Err(error))),
                },
                Request::Settle(ack) => drop(ack.send(shard.settle())),
            }
        }
        let _ = groups.send(group);
    }
}

/// One sync for all acknowledgements that wait for one.
fn commit(log: &Log, groups: &Receiver<Vec<Ack>>) {
    while let Ok(mut group) = groups.recv() {
        group.extend(groups.try_iter().flatten());
        let outcome = log.sync().map_err(|error| error.to_string());
        for ack in group {
            let outcome = outcome.as_ref().map(|_| ()).map_err(failed);
            let _ = ack.send(outcome);
        }
    }
}

struct Client {
    encoder: Encoder,
    map: ShardMap,
    inboxes: Vec<Sender<Request>>,
    ack: Ack,
    answers: Receiver<Result<(), Error>>,
}

impl Session for Client {
    fn put(&mut self, key: Key, update: u64) -> Result<(), Error> {
        let record = self.encoder.encode(key, update).to_vec();
        let shard = self.map.shard_of(decorated(key).token);
        self.ask(shard as usize, Request::Apply(record, self.ack.clone()))
    }

    fn put_durably(&mut self, keys: &[Key]) -> Result<(), Error> {
        keys.iter().try_for_each(|key| self.put(*key, 0))
    }

    fn get(&mut self, _: Key, _: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        Err(failed("clients only write"))
    }

    fn scan(&mut self, _: Key, _: usize, _: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
        Err(failed("clients only write"))
    }

    fn settle(&mut self) -> Result<(), Error> {
        (0..self.inboxes.len()).try_for_each(|shard| self.ask(shard, Request::Settle(self.ack.clone())))
    }

    fn compact(&mut self) -> Result<(), Error> {
        Err(failed("clients only write"))
    }
}

impl Client {
    fn ask(&self, shard: usize, request: Request) -> Result<(), Error> {
        self.inboxes[shard].send(request).map_err(failed)?;
        self.answers.recv().map_err(failed)?
    }
}
