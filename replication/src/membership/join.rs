//! How a node finds its cluster.
//!
//! A node that was in the ring before comes back by itself: its ring state says so. A new node asks its seeds for
//! theirs, and then joins (`topology`). One that is its own seed, or has none, founds a cluster when nobody answers.

use std::{net::SocketAddr, time::Duration};

use futures::future::join_all;
use starling_ring::Member;

use crate::{
    clock::Clock,
    config::Config,
    deadline::Deadline,
    env::Env,
    identity::Identity,
    message::{JoinReply, JoinRequest, Request, Response},
    peers::Peers,
    snapshot::Views,
    start_error::StartError,
    topology::{Book, RingState, choose_tokens},
    tracing::Tracer,
};

/// How long one member is waited for.
const ASK: Duration = Duration::from_secs(1);

/// The ring that a new node comes to: that of its seeds, for which it waits if it can't found a cluster; or one of
/// its own.
pub(crate) async fn first_contact<E: Env>(
    env: &E,
    config: &Config,
    identity: &Identity,
    peers: &Peers<E>,
    clock: &Clock,
) -> Result<RingState, StartError> {
    let seeds: Vec<SocketAddr> = config
        .seeds
        .iter()
        .copied()
        .filter(|seed| *seed != config.listen)
        .collect();
    // Who takes a dead node's place can't be the first.
    let may_found = config.replace.is_none() && (config.seeds.is_empty() || seeds.len() < config.seeds.len());
    let request = JoinRequest {
        cluster: config.cluster.clone(),
        partitioner: config.partitioner.name().to_owned(),
        id: identity.id,
    };
    let deadline = Deadline::after(env, config.join_timeout);
    loop {
        let replies = ask(peers, &request, &seeds).await;
        if let Some(state) = acceptable(config, &replies)? {
            return Ok(state);
        }
        if may_found {
            let member = Member {
                id: identity.id,
                datacenter: config.datacenter.clone(),
                rack: config.rack.clone(),
                tokens: choose_tokens(&[], config, &mut || env.random()),
            };
            let mut state = RingState::default();
            state.found(&member, config.listen, Some(clock.tick(env.wall())));
            return Ok(state);
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

/// What the replies know of the ring between them, if none is of another cluster.
fn acceptable(config: &Config, replies: &[(SocketAddr, JoinReply)]) -> Result<Option<RingState>, StartError> {
    let mut known = RingState::default();
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
        if let Ok(state) = RingState::decode(&reply.ring) {
            known.merge(&state, |_| true);
        }
    }
    Ok((!known.members().is_empty()).then_some(known))
}

/// What a node is answered that looks for its cluster.
pub(crate) fn answer(config: &Config, book: &Book, views: &Views) -> JoinReply {
    JoinReply {
        cluster: config.cluster.clone(),
        partitioner: config.partitioner.name().to_owned(),
        ring: book.load().encode(),
        members: views
            .load()
            .cluster
            .joined()
            .filter(|peer| peer.alive)
            .map(|peer| peer.address)
            .collect(),
    }
}
