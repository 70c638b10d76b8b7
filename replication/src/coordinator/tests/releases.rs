//! A replica whose release does not know what it is asked.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use starling_model::Consistency;

use super::{LATER, cluster};
use crate::{
    message::{Failure, PeerRequest, Request, Response},
    testing::{TestCluster, address, insert, key},
};

/// Puts a node of an `older` release, which knows no writes, in the place of the third, or one of this release again.
fn replace_third(cluster: &TestCluster, older: bool) {
    let node = Arc::clone(cluster.node(3));
    let handler = move |from, request: PeerRequest| {
        let is_later = matches!(
            request.body,
            Request::Write { .. } | Request::WriteStamped { .. } | Request::Hints(_)
        );
        if older && is_later {
            let answer = node.not_understood("a write".to_owned());
            return futures::future::ready(answer).boxed();
        }
        node.handle(from, request).boxed()
    };
    cluster.world.listen(address(3), Arc::new(handler));
}

#[test]
fn who_does_not_know_a_request_is_alive_and_gets_the_write_later() {
    let (cluster, table) = cluster();
    replace_third(&cluster, true);
    let write = |row| cluster.write(1, insert(table, "a", row, "v", 10), Consistency::Quorum);
    assert_eq!(write(1), Ok(()));
    cluster.run_for(Duration::from_secs(1));
    let members = cluster.node(1).status().members;
    assert!(members.iter().all(|member| member.up), "{members:?}");
    assert!(cluster.stored(3, table, &key("a")).is_empty());
    // Its node is upgraded.
    replace_third(&cluster, false);
    cluster.run_for(LATER);
    assert_eq!(cluster.stored(3, table, &key("a")).rows.len(), 1);
}

#[test]
fn who_does_not_know_a_request_is_told_from_who_fails() {
    let (cluster, table) = cluster();
    replace_third(&cluster, true);
    let failed = cluster.write(1, insert(table, "a", 1, "v", 10), Consistency::All);
    let error = failed.expect_err("one replica does not take it").to_string();
    assert!(error.contains("does not know this request: a write"), "{error}");
    let answer = cluster.node(3).not_understood("more".to_owned());
    let body = Response::Failed(Failure::NotUnderstood("more".to_owned()));
    assert_eq!(answer.body, body);
}
