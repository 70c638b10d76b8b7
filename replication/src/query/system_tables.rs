//! `system.local`, `system.peers`, `system.peers_v2`: what drivers learn the ring from.
//!
//! A peer that has not told its datacenter, rack or CQL address yet is left out: drivers drop such rows, or
//! worse, keep them.

#![expect(clippy::unnecessary_wraps, reason = "a column's value, which may be null")]

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use starling_cql::{
    Error,
    request::Value,
    schema::{
        Table,
        system::{self, SystemRow},
    },
    value, virtual_table,
};
use starling_model::{Page, ReadCommand};

use crate::{
    env::Env,
    node::Node,
    snapshot::{Peer, Snapshot},
};

impl<E: Env> Node<E> {
    /// A page of a table of a system keyspace, from rows that are computed now.
    pub(super) async fn system_page(&self, table: &Arc<Table>, command: &ReadCommand) -> Result<Page, Error> {
        let snapshot = self.views.load();
        let rows = match (table.keyspace.as_str(), table.name.as_str()) {
            ("system", "local") => vec![self.local_row(&snapshot)],
            ("system", "peers") => visible_peers(&snapshot).map(peers_row).collect(),
            ("system", "peers_v2") => visible_peers(&snapshot).map(peers_v2_row).collect(),
            ("system_traces", _) => self.trace_rows(table, command).await,
            _ => system::rows(&snapshot.schema, table).unwrap_or_default(),
        };
        let ring = Arc::clone(&snapshot.cluster.ring);
        virtual_table::page(table, rows, command, &|key| ring.token(key))
    }

    fn local_row(&self, snapshot: &Snapshot) -> SystemRow {
        let config = &self.config;
        let tokens = snapshot
            .cluster
            .own()
            .map_or_else(|| text_set([]), |own| tokens(own));
        vec![
            ("key", text("local")),
            ("bootstrapped", text("COMPLETED")),
            ("broadcast_address", inet(config.listen.ip())),
            ("broadcast_port", port(config.listen)),
            ("cluster_name", text(&config.cluster)),
            ("cql_version", text(system::CQL_VERSION)),
            ("data_center", text(&config.datacenter)),
            ("gossip_generation", int(self.membership.generation())),
            ("host_id", uuid(self.id.0)),
            ("listen_address", inet(config.listen.ip())),
            ("listen_port", port(config.listen)),
            ("native_protocol_version", text("5")),
            ("partitioner", text(config.partitioner.name())),
            ("rack", text(&config.rack)),
            ("release_version", text(system::RELEASE_VERSION)),
            ("rpc_address", inet(config.cql.ip())),
            ("rpc_port", port(config.cql)),
            ("schema_version", uuid(snapshot.schema.version())),
            ("tokens", tokens),
        ]
    }
}

/// The other members of the ring, with all that drivers need to know of them.
fn visible_peers(snapshot: &Snapshot) -> impl Iterator<Item = (&Arc<Peer>, SocketAddr)> {
    snapshot
        .cluster
        .joined()
        .filter(|peer| peer.id != snapshot.cluster.me)
        .filter(|peer| !peer.datacenter.is_empty() && !peer.rack.is_empty())
        .filter_map(|peer| Some((peer, peer.cql?)))
}

fn peers_row((peer, cql): (&Arc<Peer>, SocketAddr)) -> SystemRow {
    let mut row = vec![
        ("peer", inet(cql.ip())),
        ("preferred_ip", inet(peer.address.ip())),
        ("rpc_address", inet(cql.ip())),
    ];
    row.extend(shared_columns(peer));
    row
}

fn peers_v2_row((peer, cql): (&Arc<Peer>, SocketAddr)) -> SystemRow {
    let mut row = vec![
        ("peer", inet(peer.address.ip())),
        ("peer_port", port(peer.address)),
        ("native_address", inet(cql.ip())),
        ("native_port", port(cql)),
        ("preferred_ip", inet(peer.address.ip())),
        ("preferred_port", port(peer.address)),
    ];
    row.extend(shared_columns(peer));
    row
}

fn shared_columns(peer: &Peer) -> SystemRow {
    vec![
        ("data_center", text(&peer.datacenter)),
        ("host_id", uuid(peer.id.0)),
        ("rack", text(&peer.rack)),
        ("release_version", text(system::RELEASE_VERSION)),
        ("schema_version", peer.schema_version.and_then(uuid)),
        ("tokens", tokens(peer)),
    ]
}

fn tokens(peer: &Peer) -> Value {
    text_set(peer.tokens.iter().map(ToString::to_string))
}

/// A `set<text>`: in the order of its elements, as all sets are.
fn text_set(elements: impl IntoIterator<Item = String>) -> Value {
    let elements: BTreeSet<String> = elements.into_iter().collect();
    Some(value::write_elements(
        elements.len(),
        elements.iter().map(String::as_bytes),
    ))
}

pub(super) fn text(text: &str) -> Value {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

pub(super) fn int(number: i32) -> Value {
    Some(Bytes::copy_from_slice(&number.to_be_bytes()))
}

fn port(address: SocketAddr) -> Value {
    int(i32::from(address.port()))
}

pub(super) fn uuid(bits: u128) -> Value {
    Some(Bytes::copy_from_slice(&bits.to_be_bytes()))
}

pub(super) fn inet(address: IpAddr) -> Value {
    Some(match address {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    })
}
