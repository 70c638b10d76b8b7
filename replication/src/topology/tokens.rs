//! Which tokens a new member takes.

use starling_model::Token;
use starling_ring::{Member, Newcomer, USUAL_FACTOR, allocate_tokens};

use crate::{config::Config, env::Env};

/// Tokens for a node of this configuration, none of them another's, such that all members hold nearly equal
/// shares.
pub(crate) fn choose_tokens(
    members: &[Member],
    config: &Config,
    random: &mut dyn FnMut() -> u64,
) -> Vec<Token> {
    let newcomer = Newcomer {
        datacenter: &config.datacenter,
        rack: &config.rack,
        tokens: config.vnodes as usize,
        factor: USUAL_FACTOR,
    };
    allocate_tokens(members, newcomer, random)
}

/// The same where it holds up no task: in a large ring it takes a few hundred milliseconds.
pub(crate) async fn choose_tokens_aside<E: Env>(
    env: &E,
    members: Vec<Member>,
    config: &Config,
) -> Vec<Token> {
    let (source, config) = (env.clone(), config.clone());
    env.blocking(move || choose_tokens(&members, &config, &mut || source.random()))
        .await
}
