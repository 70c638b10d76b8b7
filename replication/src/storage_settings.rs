//! What a table's options (CQL 3.4, "Table options") mean to its storage.
//!
//! | option | meaning |
//! |---|---|
//! | `compaction` `SizeTieredCompactionStrategy` | tiers of `min_threshold` (4) tables |
//! | `LeveledCompactionStrategy` | leveled, `fanout_size` (10) times denser from level to level |
//! | `UnifiedCompactionStrategy` | `scaling_parameters` (`T4`), as CEP-26 has them |
//! | `TimeWindowCompactionStrategy` | windows of `compaction_window_size` (1) `compaction_window_unit`s (`DAYS`) |
//! | `compression` `LZ4Compressor`, `SnappyCompressor` | LZ4 |
//! | `ZstdCompressor`, `DeflateCompressor` | Zstandard |
//! | `ZstdDictionaryCompressor` | Zstandard with a dictionary for each file |
//! | `NoopCompressor`, `'enabled': false` | none |
//! | `bloom_filter_fp_chance` | as many bits for each partition as a Bloom filter needs for it, 2 to 20 |
//!
//! What is not set is as the node has it. Files that exist stay as they are until they are compacted.

use std::collections::BTreeMap;

use starling_cql::{
    Error, ErrorKind,
    schema::{Definition, SchemaEntry, Setting, TableOptions},
};
use starling_sstable::{Compression, Scaling, Strategy, TableSettings};

/// The longest window, in seconds: twenty years, after which every TTL is over.
const LONGEST_WINDOW: u32 = 20 * 365 * 86_400;

/// What a table's options ask for. An error, before anything is stored, names what can't be done.
pub(crate) fn of(options: &TableOptions) -> Result<TableSettings, Error> {
    Ok(TableSettings {
        compaction: map(options, "compaction").map(compaction).transpose()?,
        compression: map(options, "compression").map(compression),
        filter_bits: match options.own("bloom_filter_fp_chance") {
            Some(Setting::Scalar(chance)) => chance.parse().ok().map(filter_bits),
            _ => None,
        },
    })
}

/// Refuses an entry of a table whose options storage can't follow.
pub(crate) fn check(entry: &SchemaEntry) -> Result<(), Error> {
    match &entry.definition {
        Some(Definition::Table(table)) => of(&table.options).map(drop),
        _ => Ok(()),
    }
}

fn map<'a>(options: &'a TableOptions, name: &str) -> Option<&'a BTreeMap<String, String>> {
    match options.own(name) {
        Some(Setting::Map(map)) => Some(map),
        _ => None,
    }
}

fn compaction(map: &BTreeMap<String, String>) -> Result<Strategy, Error> {
    let get = |name: &str| map.get(name).map(String::as_str);
    let scaling = match short_class(map) {
        "TimeWindowCompactionStrategy" => return window(map),
        "SizeTieredCompactionStrategy" => format!("T{}", threshold(map, "min_threshold", 4)?),
        "LeveledCompactionStrategy" => format!("L{}", threshold(map, "fanout_size", 10)?),
        _ => get("scaling_parameters").unwrap_or("T4").to_owned(),
    };
    let scaling: Scaling = scaling
        .parse()
        .map_err(|error| refused("scaling_parameters", &scaling, &format!("{error}")))?;
    Ok(Strategy::Unified(scaling))
}

/// A number of tables that a merge takes: 2 to 32.
fn threshold(map: &BTreeMap<String, String>, name: &str, default: u32) -> Result<u32, Error> {
    let Some(text) = map.get(name) else {
        return Ok(default);
    };
    match text.parse() {
        // More than the engine merges at a time is as good as the most that it does.
        Ok(number) if number >= 2 => Ok(u32::min(number, 32)),
        _ => Err(refused(name, text, "it takes a whole number of at least 2")),
    }
}

fn window(map: &BTreeMap<String, String>) -> Result<Strategy, Error> {
    let unit = map.get("compaction_window_unit").map_or("DAYS", String::as_str);
    let seconds: u32 = match unit.to_ascii_uppercase().as_str() {
        "MINUTES" => 60,
        "HOURS" => 3_600,
        "DAYS" => 86_400,
        _ => {
            return Err(refused(
                "compaction_window_unit",
                unit,
                "it takes MINUTES, HOURS or DAYS",
            ));
        }
    };
    let size = map.get("compaction_window_size").map_or("1", String::as_str);
    let windows = size.parse::<u32>().ok().filter(|size| *size > 0);
    let seconds = windows
        .and_then(|size| size.checked_mul(seconds))
        .filter(|seconds| *seconds <= LONGEST_WINDOW)
        .ok_or_else(|| {
            let what = "it takes a whole number of at least 1, and a window is twenty years at most";
            refused("compaction_window_size", size, what)
        })?;
    Ok(Strategy::TimeWindow { seconds })
}

fn compression(map: &BTreeMap<String, String>) -> Compression {
    if map
        .get("enabled")
        .is_some_and(|enabled| enabled.eq_ignore_ascii_case("false"))
    {
        return Compression::None;
    }
    match short_class(map) {
        "NoopCompressor" => Compression::None,
        "ZstdCompressor" | "DeflateCompressor" => Compression::Zstd,
        "ZstdDictionaryCompressor" => Compression::ZstdDictionary,
        _ => Compression::Lz4,
    }
}

/// The class without its package.
fn short_class(map: &BTreeMap<String, String>) -> &str {
    let class = map.get("class").map_or("", String::as_str);
    class.rsplit('.').next().unwrap_or(class)
}

/// `ln(1/p) / ln(2)^2` (Bloom 1970), rounded up.
fn filter_bits(chance: f64) -> u32 {
    let bits = -chance.max(f64::MIN_POSITIVE).ln() / std::f64::consts::LN_2.powi(2);
    (bits.ceil() as u32).clamp(2, 20)
}

fn refused(name: &str, value: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("Invalid value '{value}' for '{name}': {what}; nothing was changed"),
    )
}

#[cfg(test)]
mod tests {
    use starling_cql::ast::OptionValue;

    use super::*;
    use crate::testing::TestCluster;

    fn settings(name: &str, pairs: &[(&str, &str)]) -> Result<TableSettings, Error> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut options = TableOptions::default();
        options.apply(&[(name.to_owned(), OptionValue::Map(pairs.collect()))])?;
        of(&options)
    }

    #[test]
    fn what_is_not_set_is_as_the_node_has_it() {
        let options = TableOptions::default();
        assert_eq!(of(&options).expect("the defaults"), TableSettings::default());
    }

    #[test]
    fn strategies_have_their_meaning() {
        let compaction =
            |pairs: &[(&str, &str)]| settings("compaction", pairs).map(|settings| settings.compaction);
        let unified = |scaling: &str| Some(Strategy::Unified(scaling.parse().expect("a scaling")));
        let window = |seconds| Some(Strategy::TimeWindow { seconds });
        for (pairs, expected) in [
            (&[("class", "SizeTieredCompactionStrategy")][..], unified("T4")),
            (
                &[("class", "SizeTieredCompactionStrategy"), ("min_threshold", "8")],
                unified("T8"),
            ),
            (&[("class", "LeveledCompactionStrategy")], unified("L10")),
            (
                &[("class", "LeveledCompactionStrategy"), ("fanout_size", "100")],
                unified("L32"),
            ),
            (&[("class", "UnifiedCompactionStrategy")], unified("T4")),
            (
                &[
                    ("class", "UnifiedCompactionStrategy"),
                    ("scaling_parameters", "T4, L8"),
                ],
                unified("T4, L8"),
            ),
            (&[("class", "TimeWindowCompactionStrategy")], window(86_400)),
            (
                &[
                    ("class", "TimeWindowCompactionStrategy"),
                    ("compaction_window_unit", "minutes"),
                    ("compaction_window_size", "30"),
                ],
                window(1_800),
            ),
        ] {
            assert_eq!(compaction(pairs).expect("it is taken"), expected, "{pairs:?}");
        }
        for pairs in [
            [
                ("class", "UnifiedCompactionStrategy"),
                ("scaling_parameters", "X4"),
            ],
            [("class", "SizeTieredCompactionStrategy"), ("min_threshold", "1")],
            [("class", "LeveledCompactionStrategy"), ("fanout_size", "many")],
            [
                ("class", "TimeWindowCompactionStrategy"),
                ("compaction_window_unit", "WEEKS"),
            ],
            [
                ("class", "TimeWindowCompactionStrategy"),
                ("compaction_window_size", "0"),
            ],
            [
                ("class", "TimeWindowCompactionStrategy"),
                ("compaction_window_size", "99999"),
            ],
        ] {
            let error = compaction(&pairs).expect_err("it is refused");
            assert_eq!(error.kind, ErrorKind::Config, "{pairs:?}");
        }
    }

    #[test]
    fn the_storage_of_every_node_is_told_also_when_it_starts() {
        let mut cluster = TestCluster::new(3);
        let keyspace =
            "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
        cluster.cql(1, keyspace).expect("the keyspace is made");
        let class = "{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS'}";
        let create = format!("CREATE TABLE ks.w (k int PRIMARY KEY) WITH compaction = {class}");
        cluster.cql(1, &create).expect("the table is made");
        let told = |cluster: &TestCluster, number: usize| {
            let snapshot = cluster.node(number).views.load();
            let table = snapshot.schema.table("ks", "w").expect("it is there").id;
            cluster.store(number).settings(table)
        };
        let windows = TableSettings {
            compaction: Some(Strategy::TimeWindow { seconds: 3_600 }),
            ..TableSettings::default()
        };
        for number in 1..=3 {
            assert_eq!(told(&cluster, number), Some(windows), "n{number}");
        }
        let alter = "ALTER TABLE ks.w WITH compression = {'class': 'ZstdCompressor'}";
        cluster.cql(2, alter).expect("the table is altered");
        let smaller = TableSettings {
            compression: Some(Compression::Zstd),
            ..windows
        };
        for number in 1..=3 {
            assert_eq!(told(&cluster, number), Some(smaller), "n{number}");
        }
        cluster.kill(3);
        cluster.restart(3);
        assert_eq!(told(&cluster, 3), Some(smaller), "after a restart");

        let wrong = "ALTER TABLE ks.w WITH compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T1'}";
        let error = cluster.cql(1, wrong).expect_err("it is refused");
        assert_eq!(error.kind, ErrorKind::Config);
        assert_eq!(told(&cluster, 1), Some(smaller), "nothing was changed");
    }

    #[test]
    fn compressors_have_their_meaning() {
        for (class, expected) in [
            ("LZ4Compressor", Compression::Lz4),
            ("SnappyCompressor", Compression::Lz4),
            ("ZstdCompressor", Compression::Zstd),
            ("DeflateCompressor", Compression::Zstd),
            ("ZstdDictionaryCompressor", Compression::ZstdDictionary),
            ("NoopCompressor", Compression::None),
            ("", Compression::None),
        ] {
            let found = settings("compression", &[("class", class)]).expect("it is taken");
            assert_eq!(found.compression, Some(expected), "{class}");
        }
        let off = settings("compression", &[("enabled", "false")]).expect("it is taken");
        assert_eq!(off.compression, Some(Compression::None));
    }

    #[test]
    fn filters_have_the_bits_that_a_chance_needs() {
        for (chance, bits) in [(1.0, 2), (0.1, 5), (0.01, 10), (0.001, 15), (0.0, 20)] {
            assert_eq!(filter_bits(chance), bits, "{chance}");
        }
    }
}
