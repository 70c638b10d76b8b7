//! The three messages of an exchange.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use starling_model::NodeId;

use super::{Gossip, Outgoing};
use crate::{
    config::Config,
    event::{Event, Refusal},
    message::{Body, DIGEST_BYTES, Digest, HEADER_BYTES, MAX_NAME_BYTES, MIN_MESSAGE_BYTES, Message, Span},
    peers::below,
    reconcile::{self, Difference, Lack},
};

/// Of the digests that a message may hold, so many more go in every message because their members' states changed: one in so many.
const FRESH_ONE_IN: usize = 4;

/// Of so many digests that a message may hold there is one more member whose last change is told unasked.
const PUSHED_ONE_IN: usize = 16;

/// For so many rounds a change is fresh: enough to reach everybody.
const FRESH_ROUNDS: u32 = 16;

impl Gossip {
    /// Takes note that a member's states changed.
    pub(super) fn freshen(&mut self, id: NodeId) {
        self.fresh.retain(|(fresh, _)| *fresh != id);
        let until = self.last_tick.unwrap_or_default() + self.config.interval * FRESH_ROUNDS;
        self.fresh.push_front((id, until));
        self.fresh.truncate(self.most_fresh());
    }

    /// The most members whose digests go in every message because their states changed.
    fn most_fresh(&self) -> usize {
        (self.config.max_digests / FRESH_ONE_IN).max(1)
    }

    /// The most of them whose last change is told unasked.
    fn most_pushed(&self) -> usize {
        (self.config.max_digests / PUSHED_ONE_IN).max(1)
    }

    /// Starts an exchange. Where not all digests fit, each message has the section after the last one's;
    /// the sections leave no gap, so that a member that is unknown here lies in one of them.
    pub(super) fn syn(&mut self, to: SocketAddr) -> Outgoing {
        let fitting = (self.room() / DIGEST_BYTES).saturating_sub(1 + self.most_fresh());
        let most = fitting.min(self.config.max_digests).max(1);
        let from_cursor = self
            .members
            .range(self.cursor..)
            .chain(self.members.range(..self.cursor));
        let mut rest = from_cursor.map(|(_, record)| reconcile::digest(&record.member));
        let mut digests: Vec<Digest> = rest.by_ref().take(most).collect();
        let left_out = rest.next();
        let span = match (digests.first(), left_out) {
            (Some(first), Some(left_out)) => {
                self.cursor = left_out.id;
                Span::Between {
                    first: first.id,
                    until: left_out.id,
                }
            }
            _ => Span::All,
        };
        if !digests.iter().any(|digest| digest.id == self.id) {
            digests.push(reconcile::digest(self.own()));
        }
        if span != Span::All {
            let shown: BTreeSet<NodeId> = digests.iter().map(|digest| digest.id).collect();
            let fresh = self.fresh.iter().filter(|(id, _)| !shown.contains(id));
            digests.extend(
                fresh
                    .filter_map(|(id, _)| self.member(*id))
                    .map(reconcile::digest),
            );
        }
        self.message(to, Body::Syn { digests, span })
    }

    /// Handles one message: the answer to it, and first words to members that it told of.
    pub(super) fn exchange(
        &mut self,
        now: Duration,
        from: SocketAddr,
        message: Message,
        random: &mut dyn FnMut() -> u64,
    ) -> Vec<Outgoing> {
        let Message {
            sender,
            generation,
            address,
            ..
        } = message;
        if sender == self.id && address == self.own().address {
            // A seed of this node is its own address under another name.
            return Vec::new();
        }
        if let Body::Refuse(reason) = message.body {
            if reason == Refusal::Removed(self.id) {
                self.expel();
            }
            self.event(Event::RefusedBy { from, reason });
            return Vec::new();
        }
        if let Err(reason) = self.admit(&message) {
            self.event(Event::Refused {
                from,
                reason: reason.clone(),
            });
            return vec![self.message(address, Body::Refuse(reason))];
        }
        let proves_reach = !matches!(message.body, Body::Syn { .. } | Body::Probe { .. });
        let (answer, unknown) = match message.body {
            Body::Syn { digests, span } => (Some(self.answer_syn(&digests, span, random)), Vec::new()),
            Body::Ack { wanted, deltas } => {
                let unknown = self.apply(now, deltas);
                (self.answer_ack(&wanted, random), unknown)
            }
            Body::Ack2 { deltas } => (None, self.apply(now, deltas)),
            Body::Probe { of } => return self.probe(now, address, of).into_iter().collect(),
            Body::Refuse(_) => (None, Vec::new()),
        };
        if self
            .member(sender)
            .is_some_and(|member| member.generation == generation)
            && (proves_reach || !self.is_doubted(sender, now))
        {
            self.report_alive(sender, now);
        }
        let mut outgoing: Vec<Outgoing> = answer
            .map(|body| self.message(address, body))
            .into_iter()
            .collect();
        outgoing.extend(self.pass_on(sender));
        self.greet(&unknown, random, &mut outgoing);
        outgoing
    }

    /// Asks members that were just heard of, so that small clusters know at once who is alive. The chance
    /// is such that a node greets about as many as it talks to in a round, and a newcomer is greeted by as many,
    /// however large the cluster.
    fn greet(&mut self, unknown: &[NodeId], random: &mut dyn FnMut() -> u64, outgoing: &mut Vec<Outgoing>) {
        let (members, fanout) = (self.members.len() as u64, self.config.fanout as u64);
        for id in unknown {
            let Some(member) = self.member(*id) else { continue };
            if !member.alive && !member.is_shut_down() && below(members, random) < fanout {
                let to = member.address;
                outgoing.push(self.syn(to));
            }
        }
    }

    /// Whether the message is one of this cluster, and well-formed.
    fn admit(&self, message: &Message) -> Result<(), Refusal> {
        let Config {
            cluster,
            partitioner,
            max_members,
            ..
        } = &self.config;
        if message.cluster != *cluster {
            return Err(Refusal::Cluster {
                expected: shortened(cluster),
                found: shortened(&message.cluster),
            });
        }
        if message.partitioner != *partitioner {
            let (expected, found) = (shortened(partitioner), shortened(&message.partitioner));
            return Err(Refusal::Partitioner { expected, found });
        }
        if message.sender == self.id {
            return Err(Refusal::SameId(self.id));
        }
        if self.was_removed(message.sender) {
            return Err(Refusal::Removed(message.sender));
        }
        let (digests, deltas): (&[_], &[_]) = match &message.body {
            Body::Syn { digests, .. } => (digests, &[]),
            Body::Ack { wanted, deltas } => (wanted, deltas),
            Body::Ack2 { deltas } => (&[], deltas),
            Body::Refuse(_) | Body::Probe { .. } => (&[], &[]),
        };
        // The sender may have room for more members than this node; ten times as many are no accident.
        if digests.len().max(deltas.len()) > max_members.saturating_mul(10) {
            return Err(Refusal::Malformed("too many members".to_owned()));
        }
        deltas.iter().try_for_each(super::apply::check)
    }

    /// Compares the other's digests with what is known here.
    fn answer_syn(&mut self, digests: &[Digest], span: Span, random: &mut dyn FnMut() -> u64) -> Body {
        let theirs: BTreeMap<NodeId, Digest> = digests.iter().map(|digest| (digest.id, *digest)).collect();
        if let Some(own) = theirs.get(&self.id) {
            self.outlive(own.generation, own.version);
        }
        let mut wanted = Vec::new();
        let mut lacks = Vec::new();
        let full = self.members.len() >= self.config.max_members;
        for (id, digest) in &theirs {
            let known = self.member(*id);
            match (reconcile::compare(known, *digest), known) {
                // There is no room for another member.
                (_, None) if full => {}
                (Difference::WeLack(news), _) => wanted.push(news),
                (Difference::TheyLack(after), Some(member)) => lacks.push(Lack { member, after }),
                _ => {}
            }
        }
        let unknown = self
            .members()
            .filter(|member| span.holds(member.id) && !theirs.contains_key(&member.id));
        lacks.extend(unknown.map(|member| Lack { member, after: 0 }));
        if span != Span::All {
            // Outside the section only what changed last is told, to who knows all before it.
            let fresh = self
                .fresh
                .iter()
                .take(self.most_pushed())
                .filter_map(|(id, _)| self.member(*id));
            let outside = fresh.filter(|member| !span.holds(member.id) && !theirs.contains_key(&member.id));
            lacks.extend(outside.map(|member| Lack {
                member,
                after: reconcile::before_last(member),
            }));
        }
        let room = self.room();
        let wanted = reconcile::fit_wants(wanted, room / 4, random);
        let left = room - wanted.len() * DIGEST_BYTES;
        let deltas = reconcile::fit_deltas(lacks, self.id, left, random);
        Body::Ack { wanted, deltas }
    }

    /// Sends what the other wants, if there is anything.
    fn answer_ack(&mut self, wanted: &[Digest], random: &mut dyn FnMut() -> u64) -> Option<Body> {
        let mut asked = BTreeSet::new();
        let lacks: Vec<Lack<'_>> = wanted
            .iter()
            .filter(|digest| asked.insert(digest.id))
            .filter_map(|digest| {
                let member = self.member(digest.id)?;
                match reconcile::compare(Some(member), *digest) {
                    Difference::TheyLack(after) => Some(Lack { member, after }),
                    Difference::None | Difference::WeLack(_) => None,
                }
            })
            .collect();
        let deltas = reconcile::fit_deltas(lacks, self.id, self.room(), random);
        (!deltas.is_empty()).then_some(Body::Ack2 { deltas })
    }

    /// Tells all live members this node's whole state.
    pub(super) fn announce(&self) -> Vec<Outgoing> {
        let lack = Lack {
            member: self.own(),
            after: 0,
        };
        let deltas = reconcile::fit_deltas(vec![lack], self.id, 2 * self.room(), &mut || 0);
        self.members()
            .filter(|member| member.alive && member.id != self.id)
            .map(|member| {
                self.message(
                    member.address,
                    Body::Ack2 {
                        deltas: deltas.clone(),
                    },
                )
            })
            .collect()
    }

    pub(super) fn message(&self, to: SocketAddr, body: Body) -> Outgoing {
        let own = self.own();
        let message = Message {
            cluster: self.config.cluster.clone(),
            partitioner: self.config.partitioner.clone(),
            sender: self.id,
            generation: own.generation,
            address: own.address,
            body,
        };
        Outgoing { to, message }
    }

    /// Bytes of a message that are free for its lists.
    pub(super) fn room(&self) -> usize {
        let names = self.config.cluster.len() + self.config.partitioner.len();
        self.config.max_message_bytes.max(MIN_MESSAGE_BYTES + names) - HEADER_BYTES - names
    }
}

/// The start of a name, short enough for a message.
fn shortened(name: &str) -> String {
    let end = (0..=MAX_NAME_BYTES.min(name.len()))
        .rev()
        .find(|at| name.is_char_boundary(*at));
    name[..end.unwrap_or(0)].to_owned()
}
