//! Hints: writes that a replica missed, into a segment's bytes and out of them.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use starling_model::{Mutation, Seconds};
use starling_replication::hints::{
    damage,
    segment::{Life, Writer},
};

use crate::rows::mutation;

/// Hints of a group.
const HINTS: u64 = 1000;

/// What nobody knows who writes values.
const SALT: u64 = 0x5EED_0123_4567_89AB;

const LIFE: Life = Life {
    at: Seconds(1_700_000_000),
    until: Seconds(1_700_010_800),
};

fn group_of(mutations: &[Bytes]) -> Vec<u8> {
    let mut writer = Writer::new(SALT);
    for mutation in mutations {
        writer.put(LIFE, mutation);
    }
    writer.take_group()
}

/// A group of hints as it is appended to its segment, without the disk; and a segment read to be delivered, every check of it.
pub(crate) fn append_and_replay(criterion: &mut Criterion) {
    let mutations: Vec<Bytes> = (0..HINTS).map(|number| mutation(number).encode()).collect();
    let segment = Bytes::from(group_of(&mutations));
    let content = damage::read(&segment, false).expect("its header is whole");
    assert!(content.damaged.is_empty() && content.torn.is_empty());
    let read: Vec<Bytes> = content.hints.iter().map(|hint| hint.mutation.clone()).collect();
    assert_eq!(read, mutations, "what was kept is delivered");
    assert_eq!(Mutation::decode(read[7].clone()), Ok(mutation(7)));
    let mut group = criterion.benchmark_group("hints");
    group.throughput(Throughput::Elements(HINTS));
    group.bench_function("append_1000", |b| b.iter(|| group_of(black_box(&mutations))));
    group.bench_function("replay_1000", |b| {
        b.iter(|| damage::read(black_box(&segment), false).expect("its header is whole"));
    });
    group.finish();
}
