//! Which tokens a new member takes.

use starling_model::Token;
use starling_ring::{Member, Newcomer, USUAL_FACTOR, allocate_tokens};

use crate::config::Config;

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
