//! `/topology/plan`: what a change of the ring would move, before anybody begins it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use starling_model::NodeId;
use starling_replication::{Estimate, NodeStatus, topology::ChangeKind};

use super::Admin;

/// What a page answers that can't do what it was asked: one sentence.
pub(super) type Refusal = (StatusCode, String);

pub(super) fn refuse(why: impl Into<String>) -> Refusal {
    (StatusCode::BAD_REQUEST, why.into())
}

/// The members that are meant by `names`: host ids, or internode addresses with or without the port, by comma.
pub(super) fn find(status: &NodeStatus, names: &str) -> Result<Vec<NodeId>, Refusal> {
    let find_one = |name: &str| {
        let name = name.trim();
        let is_meant = |member: &&starling_replication::MemberStatus| {
            let address = member.address;
            member.id.to_string() == name || address.to_string() == name || address.ip().to_string() == name
        };
        let meant: Vec<NodeId> = status
            .members
            .iter()
            .filter(is_meant)
            .map(|member| member.id)
            .collect();
        match meant[..] {
            [id] => Ok(id),
            [] => Err(refuse(format!(
                "no member of the cluster has the host id or address '{name}'; `starling status` shows them"
            ))),
            _ => Err(refuse(format!(
                "several members have the address '{name}'; name one by its host id, as `starling status` shows it"
            ))),
        }
    };
    names.split(',').map(find_one).collect()
}

/// The change that a page's parameters ask for.
async fn change(admin: &Admin, query: &BTreeMap<String, String>) -> Result<ChangeKind, Refusal> {
    let status = admin.node.status();
    let get = |name: &str| query.get(name).map(String::as_str);
    let nodes = || find(&status, get("node").unwrap_or_default());
    let is_up = |id: NodeId| status.members.iter().any(|member| member.id == id && member.up);
    // Where a newcomer stands, if that is not said: where the member `beside` does.
    let place = |beside: NodeId| {
        let beside = status.members.iter().find(|member| member.id == beside);
        let dc = get("dc").or(beside.map(|member| member.datacenter.as_str()));
        let rack = get("rack").or(beside.map(|member| member.rack.as_str()));
        (dc.unwrap_or_default(), rack.unwrap_or_default())
    };
    match get("change") {
        Some("join") => {
            let vnodes = get("vnodes").map_or(Ok(16), str::parse);
            let vnodes = vnodes.ok().filter(|count| (1..=256).contains(count));
            let vnodes = vnodes.ok_or_else(|| refuse("a node has 1 to 256 virtual nodes"))?;
            let (dc, rack) = place(status.id);
            Ok(admin.node.plan_join(dc, rack, vnodes).await)
        }
        Some("leave") if get("node").is_none() => Ok(ChangeKind::Leave(status.id)),
        Some("leave") => match nodes()?[..] {
            [id] => Ok(ChangeKind::Leave(id)),
            _ => Err(refuse("one node leaves at a time")),
        },
        Some("remove") => {
            let gone = nodes()?;
            match gone.iter().find(|id| is_up(**id)) {
                Some(up) => Err(refuse(format!(
                    "node {up} is alive, and only dead nodes are removed; run `starling decommission` on it"
                ))),
                None => Ok(ChangeKind::Remove(gone)),
            }
        }
        Some("replace") => match nodes()?[..] {
            [dead] if is_up(dead) => Err(refuse(format!(
                "node {dead} is alive, and only a dead node is replaced"
            ))),
            [dead] => {
                // Its predecessor's place and tokens, wherever the node stands that is asked. One that died before it was a
                // member had none yet: then they are chosen, as for any newcomer.
                let (dc, rack) = place(dead);
                let inherited = admin.node.tokens_of(dead);
                let vnodes = if inherited.is_empty() { 16 } else { 1 };
                let ChangeKind::Join { mut member, address } = admin.node.plan_join(dc, rack, vnodes).await
                else {
                    return Err(refuse("no tokens could be chosen"));
                };
                if !inherited.is_empty() {
                    member.tokens = inherited;
                }
                Ok(ChangeKind::Replace {
                    dead,
                    member,
                    address,
                })
            }
            _ => Err(refuse("a node replaces one node")),
        },
        Some("move") => {
            let node = match get("node") {
                None => status.id,
                Some(_) => match nodes()?[..] {
                    [id] => id,
                    _ => return Err(refuse("one node moves at a time")),
                },
            };
            let Some(rack) = get("rack") else {
                return Err(refuse("a node moves to a rack: name it"));
            };
            let rack = rack.to_owned();
            Ok(ChangeKind::Relocate { node, rack })
        }
        Some("alter") => {
            let planned = admin.node.plan_alteration(get("statement").unwrap_or_default());
            planned.map_err(|error| refuse(error.message))
        }
        _ => Err(refuse(
            "the change must be join, leave, remove, replace, move or alter",
        )),
    }
}

pub(super) async fn plan(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<Estimate>, Refusal> {
    let change = change(&admin, &query).await?;
    Ok(Json(admin.node.plan_change(&change).await))
}
