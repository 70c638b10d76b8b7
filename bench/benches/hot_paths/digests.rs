//! Anti-entropy: rows are hashed, a table's digests are kept, and two replicas' are compared.

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput};
use starling_model::{ClusteringRange, Seconds, TokenRange};
use starling_replication::anti_entropy::{
    digest::{Digest, Hasher, View},
    tree::{Touched, Tree, divide},
};
use starling_sstable::Cells;

use crate::rows::{key, mutation};

/// Rows of the table.
const ROWS: u64 = 100_000;

/// Rows of a leaf at most, as nodes have it.
const LEAF_ROWS: u64 = 256;

/// Ten days, as tables have it.
const GRACE: u32 = 864_000;

/// Ranges with so many leaves are compared leaf by leaf.
const FEW_LEAVES: usize = 16;

fn view() -> View {
    View {
        now: Seconds(1_700_000_000),
        grace: GRACE,
    }
}

/// The digest of a row.
fn of_row(hasher: &mut Hasher, number: u64) -> Digest {
    let mutation = mutation(number);
    let mut digest = Digest::default();
    hasher.partition(
        &mut digest,
        &mutation.key,
        &mutation.partition,
        &ClusteringRange::ALL,
    );
    digest
}

/// The digests of all cells of the grid, in order, that hold anything. The row `other` has another key on one replica.
fn cells(other: Option<u64>) -> Vec<(u32, Digest)> {
    let mut hasher = Hasher::new(view());
    let mut cells = std::collections::BTreeMap::<u32, Digest>::new();
    for number in 0..ROWS {
        let content = if other == Some(number) {
            number + ROWS
        } else {
            number
        };
        let digest = of_row(&mut hasher, content);
        cells
            .entry(Cells::of(key(number).token))
            .or_default()
            .add(&digest);
    }
    cells.into_iter().collect()
}

fn tree(cells: &[(u32, Digest)]) -> Tree {
    let mut tree = Tree::new(LEAF_ROWS);
    tree.put(TokenRange::ALL, cells, GRACE, Duration::ZERO);
    tree
}

/// The digest of a range, as a replica answers it.
fn sum(tree: &Tree, range: TokenRange) -> Digest {
    let mut sum = Digest::default();
    for leaf in tree.touched(range, view(), Duration::ZERO) {
        sum.add(&leaf.digest.expect("nothing was written since"));
    }
    sum
}

/// The leaves that differ, as a session finds them: part by part, and only where sums differ.
fn differing(trees: &[Tree; 2], range: TokenRange, found: &mut Vec<TokenRange>) {
    let [one, other] = trees.each_ref().map(|tree| sum(tree, range));
    if one.agrees(&other) {
        return;
    }
    let leaves = |tree: &Tree| -> Vec<Touched> {
        let touched = tree.touched(range, view(), Duration::ZERO);
        touched.take(FEW_LEAVES + 1).collect()
    };
    let [one, other] = trees.each_ref().map(leaves);
    if one.len() <= FEW_LEAVES {
        let pairs = one.iter().zip(&other).filter(|(one, other)| one != other);
        return found.extend(pairs.map(|(one, _)| one.tokens));
    }
    for part in divide(range) {
        differing(trees, part, found);
    }
}

/// A row's hash; a tree made of a table's hashes; what a page of writes sets; one difference among 100,000 rows is found.
pub(crate) fn compare(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("digests");
    let row = mutation(1);
    let mut hasher = Hasher::new(view());
    assert_eq!(of_row(&mut hasher, 1).rows, 1, "it counts");
    group.bench_function("hash_a_row", |b| {
        b.iter(|| {
            let mut digest = Digest::default();
            hasher.partition(
                &mut digest,
                black_box(&row.key),
                &row.partition,
                &ClusteringRange::ALL,
            );
            digest
        });
    });

    let all = cells(None);
    group.throughput(Throughput::Elements(all.len() as u64));
    group.bench_function("build_a_tree_of_100000_rows", |b| {
        b.iter(|| tree(black_box(&all)));
    });
    group.throughput(Throughput::Elements(1));

    let mut written = Cells::default();
    for number in 0..100 {
        written.add(key(number).token);
    }
    let mut marked = tree(&all);
    assert_eq!(marked.changed(), 0);
    marked.mark(&written);
    assert!((50..=100).contains(&marked.changed()), "{}", marked.changed());
    group.bench_function("mark_100_writes", |b| {
        b.iter_batched_ref(
            || tree(&all),
            |tree| tree.mark(black_box(&written)),
            BatchSize::LargeInput,
        );
    });

    let trees = [tree(&all), tree(&cells(Some(7)))];
    let mut found = Vec::new();
    differing(&trees, TokenRange::ALL, &mut found);
    assert!(
        found.len() == 1 && found[0].contains(key(7).token),
        "the difference is found: {found:?}"
    );
    group.bench_function("find_1_difference_in_100000_rows", |b| {
        b.iter(|| {
            found.clear();
            differing(black_box(&trees), TokenRange::ALL, &mut found);
            found.len()
        });
    });
    group.finish();
}
