//! A change of the ring: what it does, and how far it is.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};
use starling_cql::schema::Replications;
use starling_model::{NodeId, Timestamp};
use starling_ring::Member;

use super::Alteration;

/// One change of the ring, from the moment that it is proposed.
///
/// All nodes that know of it compute the same next ring from it: see [`Change::next`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Names the change.
    pub id: u128,
    /// What it does.
    pub kind: ChangeKind,
    /// The node that carries it through: who joins, leaves or moves; of a removal, or of a keyspace that is altered, who was
    /// asked for it.
    pub coordinator: NodeId,
    /// When it was proposed, by its coordinator's clock.
    pub since: Timestamp,
    /// How far it is.
    pub phase: Phase,
    /// The nodes that are dead for good, as operators have said, besides those that the change itself is about: nobody waits for
    /// them. Some were so when it was proposed, others died in its midst, when all data was there.
    #[serde(default)]
    pub lost: BTreeSet<NodeId>,
}

/// What a change does to the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// A node comes in.
    Join {
        /// With its tokens.
        member: Member,
        /// Where peers reach it.
        address: SocketAddr,
    },
    /// A live node goes; it carries the change through itself.
    Leave(NodeId),
    /// Dead nodes go, all at once. One that was coming in when it died is no member, and just does not come in again.
    Remove(Vec<NodeId>),
    /// A new node takes a dead one's place.
    Replace {
        /// The dead node: a member, or one that was coming in when it died.
        dead: NodeId,
        /// The new one, with the tokens of the dead one if that was a member.
        member: Member,
        /// Where peers reach the new one.
        address: SocketAddr,
    },
    /// A node says that it stands in another rack.
    Relocate {
        /// Which node.
        node: NodeId,
        /// Its new rack.
        rack: String,
    },
    /// The members stay, and a keyspace gets other replicas among them.
    Alter(Alteration),
}

/// How far a change is. In every phase writes and reads meet their level among the old replicas and among the
/// new ones (Ongaro 2014, section 4.3: joint consensus), so that nodes in different phases agree on every quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// New replicas fetch what they gain.
    Pending,
    /// They have it. Who confirmed this can't give the change up any more; once all have, it becomes the ring.
    Settling,
}

impl Change {
    /// The members once the change is done, given those before it.
    pub fn next(&self, current: &[Member]) -> Vec<Member> {
        self.kind.next(current)
    }

    /// How many steps its state is from the one that it was proposed on.
    pub(super) fn steps(&self) -> u64 {
        match self.phase {
            Phase::Pending => 1,
            Phase::Settling => 2 + self.lost.len() as u64,
        }
    }

    /// Everybody who has to confirm its steps, given the members before it: all of them but the dead ones, and who
    /// comes in.
    pub(super) fn participants(&self, current: &[Member]) -> BTreeSet<NodeId> {
        let dead = self.dead();
        let members = current.iter().map(|member| member.id);
        let incoming = self.kind.incoming().map(|(member, _)| member.id);
        let all = members.chain(incoming);
        all.filter(|id| !dead.contains(id)).collect()
    }

    /// Whether it is settling without this node, although it is not about that one.
    pub(super) fn goes_on_without(&self, node: NodeId) -> bool {
        self.phase == Phase::Settling && self.lost.contains(&node)
    }

    /// All nodes that nobody waits for because they are dead for good.
    pub fn dead(&self) -> BTreeSet<NodeId> {
        let mut dead = self.kind.dead();
        dead.extend(&self.lost);
        dead
    }
}

impl ChangeKind {
    /// The members once the change is done, given those before it.
    pub fn next(&self, current: &[Member]) -> Vec<Member> {
        let mut next = current.to_vec();
        match self {
            Self::Join { member, .. } => next.push(member.clone()),
            Self::Leave(gone) => next.retain(|member| member.id != *gone),
            Self::Remove(gone) => next.retain(|member| !gone.contains(&member.id)),
            Self::Replace { dead, member, .. } => {
                next.retain(|other| other.id != *dead);
                next.push(member.clone());
            }
            Self::Relocate { node, rack } => {
                for member in next.iter_mut().filter(|member| member.id == *node) {
                    member.rack.clone_from(rack);
                }
            }
            Self::Alter(_) => {}
        }
        next
    }

    /// What keyspaces are replicated by once the change is done, given that before.
    pub fn next_replications(&self, current: &Replications) -> Replications {
        match self {
            Self::Alter(alteration) => alteration.next(current),
            _ => current.clone(),
        }
    }

    /// The node that comes in, with where peers reach it.
    pub fn incoming(&self) -> Option<(&Member, SocketAddr)> {
        match self {
            Self::Join { member, address } | Self::Replace { member, address, .. } => {
                Some((member, *address))
            }
            Self::Leave(_) | Self::Remove(_) | Self::Relocate { .. } | Self::Alter(_) => None,
        }
    }

    /// The nodes whose tokens go although they are dead: nobody waits for them.
    pub fn dead(&self) -> BTreeSet<NodeId> {
        match self {
            Self::Remove(gone) => gone.iter().copied().collect(),
            Self::Replace { dead, .. } => BTreeSet::from([*dead]),
            Self::Join { .. } | Self::Leave(_) | Self::Relocate { .. } | Self::Alter(_) => BTreeSet::new(),
        }
    }

    /// All nodes that are no part of the ring afterwards.
    pub fn outgoing(&self) -> BTreeSet<NodeId> {
        match self {
            Self::Leave(gone) => BTreeSet::from([*gone]),
            _ => self.dead(),
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join { member, address } => write!(f, "node {} at {address} joins", member.id),
            Self::Leave(node) => write!(f, "node {node} leaves"),
            Self::Remove(gone) => {
                let names: Vec<String> = gone.iter().map(NodeId::to_string).collect();
                write!(
                    f,
                    "{} removed: {}",
                    if gone.len() == 1 {
                        "a dead node is"
                    } else {
                        "dead nodes are"
                    },
                    names.join(", ")
                )
            }
            Self::Replace {
                dead,
                member,
                address,
            } => {
                write!(f, "node {} at {address} replaces the dead node {dead}", member.id)
            }
            Self::Relocate { node, rack } => write!(f, "node {node} moves to rack '{rack}'"),
            Self::Alter(alteration) => alteration.fmt(f),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "new replicas fetch their data",
            Self::Settling => "all data is there",
        })
    }
}
