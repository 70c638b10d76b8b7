//! Filters side by side, each for about as many partitions as a stripe of a table has, and very many of them: so a
//! question goes to memory that is far away, as in a table.
//!
//! - the blocked Bloom filter of tables: one line of the cache a question;
//! - `fuse`: binary fuse filters; - `ribbon`: ribbon filters.

mod fuse;
mod ribbon;

use starling_sstable::table::filter as bloom;

use super::{Numbers, command::Findings, nanos_each, timed};
use crate::engine::{error::Error, starling::failed};
use fuse::Fuse;
use ribbon::Ribbon;

/// Keys of one filter.
const KEYS: u64 = 9_000;

/// Questions for each figure.
const QUESTIONS: u64 = 2_000_000;

/// One kind of filter.
trait Filter: Sized {
    fn build(hashes: &[u64]) -> Option<Self>;
    fn may_contain(&self, hash: u64) -> bool;
    fn bytes(&self) -> usize;
}

/// The filter of tables, with so many bits a key.
struct Bloom<const BITS: u32>(Vec<u8>);

impl<const BITS: u32> Filter for Bloom<BITS> {
    fn build(hashes: &[u64]) -> Option<Self> {
        let mut lines = Vec::new();
        bloom::build(hashes, BITS, &mut lines);
        Some(Self(lines))
    }

    #[inline]
    fn may_contain(&self, hash: u64) -> bool {
        bloom::may_contain(&self.0, bloom::probes(BITS), hash)
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Measures each kind with so many keys in all.
///
/// # Errors
///
/// A filter that can't be built, or that does not know a key that it was built of.
pub fn study(keys: u64) -> Result<Findings, Error> {
    let rows = vec![
        measure::<Bloom<8>>("blocked Bloom, 8 bits", keys)?,
        measure::<Bloom<10>>("blocked Bloom, 10 bits", keys)?,
        measure::<Bloom<12>>("blocked Bloom, 12 bits", keys)?,
        measure::<Bloom<16>>("blocked Bloom, 16 bits", keys)?,
        measure::<Fuse>("binary fuse, 8 bits", keys)?,
        measure::<Ribbon<7>>("ribbon, 7 bits", keys)?,
        measure::<Ribbon<8>>("ribbon, 8 bits", keys)?,
    ];
    Ok(Findings {
        header: vec![
            "",
            "bits a key",
            "wrongly yes, %",
            "missing key, ns",
            "key, ns",
            "build, ns a key",
        ],
        rows,
    })
}

fn measure<F: Filter>(name: &str, keys: u64) -> Result<Vec<String>, Error> {
    let count = keys / KEYS;
    let hash = |filter: u64, key: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&key.to_le_bytes(), filter);
    let (filters, built) = timed(|| {
        (0..count)
            .map(|filter| {
                let hashes: Vec<u64> = (0..KEYS).map(|key| hash(filter, key)).collect();
                F::build(&hashes)
            })
            .collect::<Option<Vec<F>>>()
    });
    let filters = filters.ok_or_else(|| failed(format!("{name}: a filter could not be built")))?;
    let bytes: usize = filters.iter().map(Filter::bytes).sum();
    let ask = |keys: std::ops::Range<u64>| {
        let mut numbers = Numbers(3);
        let mut yes = 0_u64;
        for _ in 0..QUESTIONS {
            let filter = numbers.below(count);
            let key = keys.start + numbers.below(keys.end - keys.start);
            yes += u64::from(filters[filter as usize].may_contain(hash(filter, key)));
        }
        yes
    };
    // What choosing a key costs, and computing its hash.
    let (sum, idle) = timed(|| {
        let mut numbers = Numbers(3);
        (0..QUESTIONS).fold(0_u64, |sum, _| {
            let filter = numbers.below(count);
            sum ^ hash(filter, numbers.below(KEYS))
        })
    });
    std::hint::black_box(sum);
    let (wrong, missing) = timed(|| ask(KEYS..KEYS << 20));
    let (right, present) = timed(|| ask(0..KEYS));
    if right != QUESTIONS {
        return Err(failed(format!("{name}: a key is not known to its filter")));
    }
    let net = |took: std::time::Duration| nanos_each(took.saturating_sub(idle), QUESTIONS);
    Ok(vec![
        name.to_owned(),
        format!("{:.2}", bytes as f64 * 8.0 / (count * KEYS) as f64),
        format!("{:.2}", wrong as f64 * 100.0 / QUESTIONS as f64),
        format!("{:.0}", net(missing)),
        format!("{:.0}", net(present)),
        format!("{:.0}", nanos_each(built, count * KEYS)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_knows_its_keys_and_few_others() {
        for findings in [
            measure::<Fuse>("fuse", 30_000).unwrap(),
            measure::<Ribbon<8>>("ribbon", 30_000).unwrap(),
            measure::<Bloom<10>>("bloom", 30_000).unwrap(),
        ] {
            let wrong: f64 = findings[2].parse().unwrap();
            assert!(wrong < 2.0, "{findings:?}");
            let bits: f64 = findings[1].parse().unwrap();
            assert!((7.0..12.0).contains(&bits), "{findings:?}");
        }
    }
}
