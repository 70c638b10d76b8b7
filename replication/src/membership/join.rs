//! How a node comes into the ring.
//!
//! A node that was in the ring before comes back by itself: its identity has its tokens. A new node asks
//! its seeds. One that is its own seed, or has none, founds a cluster when nobody answers.
//!
//! In this release a node may join only while there are no tables of users: moving data to new nodes is not
//! supported yet, and a replica that answers for rows it does not have would be a silent loss.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use parking_lot::Mutex;
use starling_model::{NodeId, Token};
use starling_ring::{Member, Newcomer, USUAL_FACTOR, allocate_tokens};

use crate::{
    clock::Clock,
    config::Config,
    deadline::Deadline,
    env::Env,
    identity::{Identity, Joined},
    message::{JoinReply, JoinRequest, Request, Response},
    peers::Peers,
    schema_agreement::has_user_tables,
    snapshot::Views,
    start_error::StartError,
    tracing::Tracer,
};

/// How long one member is waited for.
const ASK: Duration = Duration::from_secs(1);

/// How long tokens are kept for a node that asked and isn't seen in the ring.
const RESERVED: Duration = Duration::from_mins(1);

/// The most nodes that tokens are kept for.
const MAX_RESERVED: usize = 1024;

/// A new node's place on the ring: asks the seeds, waiting for them if the node can't found a cluster.
pub(crate) async fn join<E: Env>(
    env: &E,
    config: &Config,
    identity: &Identity,
    peers: &Peers<E>,
    clock: &Clock,
) -> Result<Joined, StartError> {
    let seeds: Vec<SocketAddr> = config
        .seeds
        .iter()
        .copied()
        .filter(|seed| *seed != config.listen)
        .collect();
    let may_found = config.seeds.is_empty() || seeds.len() < config.seeds.len();
    let request = JoinRequest {
        cluster: config.cluster.clone(),
        partitioner: config.partitioner.name().to_owned(),
        member: Member {
            id: identity.id,
            datacenter: config.datacenter.clone(),
            rack: config.rack.clone(),
            tokens: Vec::new(),
        },
        vnodes: config.vnodes,
    };
    let deadline = Deadline::after(env, config.join_timeout);
    loop {
        let replies = ask(peers, &request, &seeds).await;
        if let Some((_, reply)) = first_acceptable(config, &replies)? {
            // Members that no seed is may have heard of a table that the seeds have not.
            let asked: Vec<SocketAddr> = replies.iter().map(|(peer, _)| *peer).collect();
            let others: Vec<SocketAddr> = reply
                .members
                .iter()
                .copied()
                .filter(|peer| *peer != config.listen && !asked.contains(peer))
                .collect();
            first_acceptable(config, &ask(peers, &request, &others).await)?;
            return Ok(Joined {
                at: clock.tick(env.wall()),
                tokens: reply.tokens.clone(),
            });
        }
        if may_found {
            let newcomer = newcomer(&request.member, config.vnodes as usize);
            let tokens = allocate_tokens(&[], newcomer, &mut || env.random());
            return Ok(Joined {
                at: clock.tick(env.wall()),
                tokens,
            });
        }
        if deadline.is_over(env) {
            let named: Vec<String> = seeds.iter().map(SocketAddr::to_string).collect();
            return Err(StartError::NoSeed(named.join(", ")));
        }
        env.sleep(config.discovery_interval).await;
    }
}

async fn ask<E: Env>(
    peers: &Peers<E>,
    request: &JoinRequest,
    to: &[SocketAddr],
) -> Vec<(SocketAddr, JoinReply)> {
    let asks = to.iter().map(|peer| async move {
        let body = Request::Join(request.clone());
        match peers.ask_address(*peer, body, ASK, &Tracer::OFF).await {
            Ok(Response::Join(reply)) => Some((*peer, reply)),
            Ok(_) => None,
            Err(error) => {
                ::tracing::debug!(%peer, %error, "a member did not answer the request to join");
                None
            }
        }
    });
    join_all(asks).await.into_iter().flatten().collect()
}

/// The first of the replies, if none forbids to join.
fn first_acceptable<'a>(
    config: &Config,
    replies: &'a [(SocketAddr, JoinReply)],
) -> Result<Option<&'a (SocketAddr, JoinReply)>, StartError> {
    for (peer, reply) in replies {
        let same = |what, theirs: &str, ours: &str| {
            if theirs == ours {
                return Ok(());
            }
            Err(StartError::OtherCluster {
                peer: *peer,
                what,
                theirs: theirs.to_owned(),
                ours: ours.to_owned(),
            })
        };
        same("name", &reply.cluster, &config.cluster)?;
        same("partitioner", &reply.partitioner, config.partitioner.name())?;
        if reply.has_tables {
            return Err(StartError::HasTables);
        }
    }
    Ok(replies.iter().find(|(_, reply)| !reply.tokens.is_empty()))
}

/// Answers nodes that want to join.
pub(crate) struct Doorkeeper<E: Env> {
    env: E,
    config: Config,
    views: Arc<Views>,
    /// Tokens that were given out, and when.
    reserved: Mutex<BTreeMap<NodeId, (Duration, Member)>>,
}

impl<E: Env> Doorkeeper<E> {
    pub(crate) fn new(env: E, config: Config, views: Arc<Views>) -> Self {
        Self {
            env,
            config,
            views,
            reserved: Mutex::new(BTreeMap::new()),
        }
    }

    /// What a node that wants to join must know. Tokens are given only if it may.
    pub(crate) fn answer(&self, request: &JoinRequest) -> JoinReply {
        let snapshot = self.views.load();
        let has_tables = has_user_tables(&snapshot.schema);
        let ours = (self.config.cluster.as_str(), self.config.partitioner.name());
        let welcome = !has_tables && ours == (request.cluster.as_str(), request.partitioner.as_str());
        JoinReply {
            cluster: self.config.cluster.clone(),
            partitioner: self.config.partitioner.name().to_owned(),
            has_tables,
            tokens: if welcome {
                self.reserve(request)
            } else {
                Vec::new()
            },
            members: snapshot
                .cluster
                .joined()
                .filter(|peer| peer.alive)
                .map(|peer| peer.address)
                .collect(),
        }
    }

    fn reserve(&self, request: &JoinRequest) -> Vec<Token> {
        let now = self.env.monotonic();
        let ring = Arc::clone(&self.views.load().cluster.ring);
        let mut reserved = self.reserved.lock();
        reserved.retain(|id, (at, _)| now.saturating_sub(*at) < RESERVED && ring.member(*id).is_none());
        if let Some((_, member)) = reserved.get(&request.member.id) {
            return member.tokens.clone();
        }
        if reserved.len() >= MAX_RESERVED {
            return Vec::new();
        }
        let mut existing = ring.members().to_vec();
        existing.extend(reserved.values().map(|(_, member)| member.clone()));
        let count = request.vnodes.clamp(1, 256) as usize;
        let newcomer = newcomer(&request.member, count);
        let tokens = allocate_tokens(&existing, newcomer, &mut || self.env.random());
        let member = Member {
            tokens: tokens.clone(),
            ..request.member.clone()
        };
        reserved.insert(request.member.id, (now, member));
        tokens
    }
}

/// A node that wants `tokens` tokens, as the allocation sees it.
fn newcomer(member: &Member, tokens: usize) -> Newcomer<'_> {
    Newcomer {
        datacenter: &member.datacenter,
        rack: &member.rack,
        tokens,
        factor: USUAL_FACTOR,
    }
}
