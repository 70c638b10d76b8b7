//! A table's options.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ast::OptionValue,
    error::{Error, ErrorKind},
};

const COMPACTION_PACKAGE: &str = "org.apache.cassandra.db.compaction.";
/// The strategies that may be named.
const COMPACTION_CLASSES: [&str; 5] = [
    "SizeTieredCompactionStrategy",
    "LeveledCompactionStrategy",
    "TimeWindowCompactionStrategy",
    "DateTieredCompactionStrategy",
    "UnifiedCompactionStrategy",
];

const COMPRESSION_PACKAGE: &str = "org.apache.cassandra.io.compress.";
const COMPRESSION_CLASSES: [&str; 6] = [
    "LZ4Compressor",
    "SnappyCompressor",
    "DeflateCompressor",
    "ZstdCompressor",
    "ZstdDictionaryCompressor",
    "NoopCompressor",
];

/// The longest TTL, in seconds: 20 years of 365 days, as Cassandra has it.
pub const MAX_TTL: u32 = 20 * 365 * 24 * 60 * 60;
/// The longest text of an option, in bytes.
const MAX_TEXT: usize = 65_535;

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Setting {
    /// Text, a number, or a boolean, in its CQL text without quotes.
    Scalar(String),
    /// A map.
    Map(BTreeMap<String, String>),
}

/// What values an option takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// A number from 0 to 1.
    Fraction,
    /// `true` or `false`.
    Boolean,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A speculation threshold: `99p`, `50ms`, `ALWAYS`, `NEVER`.
    Speculation,
    /// A map of texts.
    Map(&'static [(&'static str, &'static str)]),
}

/// An option that tables have.
#[derive(Debug)]
struct Known {
    name: &'static str,
    kind: Kind,
    default: &'static str,
}

const fn option(name: &'static str, kind: Kind, default: &'static str) -> Known {
    Known { name, kind, default }
}

const MAX_INT: i64 = i32::MAX as i64;

/// Cassandra's options and defaults, by name (CQL 3.4, "Table options").
const OPTIONS: &[Known] = &[
    option("additional_write_policy", Kind::Speculation, "99p"),
    option("bloom_filter_fp_chance", Kind::Fraction, "0.01"),
    option(
        "caching",
        Kind::Map(&[("keys", "ALL"), ("rows_per_partition", "NONE")]),
        "",
    ),
    option("cdc", Kind::Boolean, "false"),
    option("comment", Kind::Text, ""),
    option(
        "compaction",
        Kind::Map(&[
            (
                "class",
                "org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy",
            ),
            ("max_threshold", "32"),
            ("min_threshold", "4"),
        ]),
        "",
    ),
    option(
        "compression",
        Kind::Map(&[
            ("chunk_length_in_kb", "16"),
            ("class", "org.apache.cassandra.io.compress.LZ4Compressor"),
        ]),
        "",
    ),
    option("crc_check_chance", Kind::Fraction, "1.0"),
    option(
        "default_time_to_live",
        Kind::Integer {
            min: 0,
            max: MAX_TTL as i64,
        },
        "0",
    ),
    option("extensions", Kind::Map(&[]), ""),
    option(
        "gc_grace_seconds",
        Kind::Integer { min: 0, max: MAX_INT },
        "864000",
    ),
    option(
        "max_index_interval",
        Kind::Integer { min: 1, max: MAX_INT },
        "2048",
    ),
    option(
        "memtable_flush_period_in_ms",
        Kind::Integer { min: 0, max: MAX_INT },
        "0",
    ),
    option(
        "min_index_interval",
        Kind::Integer { min: 1, max: MAX_INT },
        "128",
    ),
    option("read_repair", Kind::Word(&["BLOCKING", "NONE"]), "BLOCKING"),
    option("read_repair_chance", Kind::Fraction, "0.0"),
    option("speculative_retry", Kind::Speculation, "99p"),
];

/// A table's options. All of Cassandra's are taken and returned; Starling acts on `bloom_filter_fp_chance`, `compaction`,
/// `compression`, `default_time_to_live`, `gc_grace_seconds`, `read_repair` and `read_repair_chance`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableOptions {
    set: BTreeMap<String, Setting>,
}

impl TableOptions {
    /// The option's value, or its default; `None` if there is no such option.
    pub fn get(&self, name: &str) -> Option<Setting> {
        self.set.get(name).cloned().or_else(|| {
            OPTIONS
                .iter()
                .find(|option| option.name == name)
                .map(|option| match option.kind {
                    Kind::Map(pairs) => Setting::Map(owned(pairs)),
                    _ => Setting::Scalar(option.default.to_owned()),
                })
        })
    }

    /// Every option, by name, with its value or default.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Setting)> + '_ {
        OPTIONS
            .iter()
            .filter_map(|option| Some((option.name, self.get(option.name)?)))
    }

    /// Whether an option's value is written in quotes.
    pub fn is_text(&self, name: &str) -> bool {
        OPTIONS.iter().any(|option| {
            option.name == name && matches!(option.kind, Kind::Text | Kind::Word(_) | Kind::Speculation)
        })
    }

    /// The option's value if it was set; `None` while the default holds.
    pub fn own(&self, name: &str) -> Option<&Setting> {
        self.set.get(name)
    }

    /// The text of an option that is no map; empty if there is no such option.
    pub fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Setting::Scalar(text)) => text,
            _ => String::new(),
        }
    }

    /// The map of an option that is one; empty if there is no such option.
    pub fn map(&self, name: &str) -> BTreeMap<String, String> {
        match self.get(name) {
            Some(Setting::Map(map)) => map,
            _ => BTreeMap::new(),
        }
    }

    /// A number's value; 0 if the option is none.
    fn number(&self, name: &str) -> u32 {
        self.text(name).parse().unwrap_or(0)
    }

    /// The TTL of writes that have none, in seconds; 0 is none.
    pub fn default_time_to_live(&self) -> u32 {
        self.number("default_time_to_live").min(MAX_TTL)
    }

    /// Whether a read waits until the replicas that it found stale are up to date.
    pub fn repairs_reads(&self) -> bool {
        !matches!(self.set.get("read_repair"), Some(Setting::Scalar(word)) if word == "NONE")
    }

    /// With which probability, 0 to 1, all live replicas are compared after a read of a partition.
    pub fn read_repair_chance(&self) -> f64 {
        match self.set.get("read_repair_chance") {
            Some(Setting::Scalar(chance)) => chance.parse().unwrap_or(0.0),
            _ => 0.0,
        }
    }

    /// How long tombstones are kept at least, in seconds.
    pub fn gc_grace_seconds(&self) -> u32 {
        self.number("gc_grace_seconds")
    }

    /// Takes the options of a statement, or none of them after an error.
    pub fn apply(&mut self, options: &[(String, OptionValue)]) -> Result<(), Error> {
        let mut set = self.set.clone();
        for (at, (name, value)) in options.iter().enumerate() {
            if options[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Error::invalid(format!(
                    "Multiple definitions for property '{name}'"
                )));
            }
            let Some(option) = OPTIONS.iter().find(|option| option.name == name) else {
                // Options of older and newer releases that change nothing here.
                if ["dclocal_read_repair_chance", "memtable"].contains(&name.as_str()) {
                    continue;
                }
                return Err(Error::syntax(format!("Unknown property '{name}'")));
            };
            set.insert(name.clone(), checked(option, value)?);
        }
        let candidate = Self { set };
        if candidate.number("min_index_interval") > candidate.number("max_index_interval") {
            return Err(config("max_index_interval must be at least min_index_interval"));
        }
        *self = candidate;
        Ok(())
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn checked(option: &Known, value: &OptionValue) -> Result<Setting, Error> {
    let wrong = |what: &str| {
        let found = match value {
            OptionValue::Literal(text) => text.clone(),
            OptionValue::Map(_) => "a map".to_owned(),
        };
        config(format!(
            "Invalid value {found} for property '{}': it takes {what}",
            option.name
        ))
    };
    match (option.kind, value) {
        (Kind::Map(_), OptionValue::Map(pairs)) => checked_map(option.name, pairs),
        (Kind::Map(_), OptionValue::Literal(_)) => Err(wrong("a map")),
        (_, OptionValue::Map(_)) => Err(wrong("a single value")),
        (kind, OptionValue::Literal(text)) => checked_scalar(kind, text)
            .map(Setting::Scalar)
            .map_err(|what| wrong(&what)),
    }
}

fn checked_scalar(kind: Kind, text: &str) -> Result<String, String> {
    match kind {
        Kind::Text if text.len() <= MAX_TEXT => Ok(text.to_owned()),
        Kind::Text => Err(format!("at most {MAX_TEXT} bytes")),
        Kind::Integer { min, max } => match text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number.to_string()),
            _ => Err(format!("a whole number from {min} to {max}")),
        },
        Kind::Fraction => match text.parse::<f64>() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(format!("{number:?}")),
            _ => Err("a number from 0 to 1".to_owned()),
        },
        Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => Ok("true".to_owned()),
            "false" => Ok("false".to_owned()),
            _ => Err("true or false".to_owned()),
        },
        Kind::Word(words) => words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(text))
            .map(|word| (*word).to_owned())
            .ok_or_else(|| format!("one of {}", words.join(", "))),
        Kind::Speculation if is_speculation(text) => Ok(text.to_owned()),
        Kind::Speculation => Err("NEVER, ALWAYS, a percentile like 99p, or a time like 50ms".to_owned()),
        Kind::Map(_) => Err("a map".to_owned()),
    }
}

fn is_speculation(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let number = |suffix: &str| {
        text.strip_suffix(suffix)
            .and_then(|number| number.parse::<f64>().ok())
    };
    let percent = number("percentile").or_else(|| number("p"));
    matches!(text.as_str(), "none" | "never" | "always")
        || percent.is_some_and(|percent| (0.0..=100.0).contains(&percent))
        || number("ms").is_some_and(|time| time >= 0.0)
        || text.starts_with("min(")
        || text.starts_with("max(")
}

fn checked_map(name: &str, pairs: &[(String, String)]) -> Result<Setting, Error> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if key.len() + value.len() > MAX_TEXT || pairs.len() > 256 {
            return Err(config(format!("the map for property '{name}' is too large")));
        }
        if map.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::invalid(format!(
                "Duplicate key '{key}' for property '{name}'"
            )));
        }
    }
    match name {
        "compaction" => {
            let class = map
                .get("class")
                .ok_or_else(|| config("Missing sub-option 'class' for the 'compaction' option."))?;
            let class = class_name(class, COMPACTION_PACKAGE);
            if !is_known(&class, COMPACTION_PACKAGE, &COMPACTION_CLASSES) {
                return Err(config(format!(
                    "Unable to find compaction strategy class '{class}'"
                )));
            }
            map.insert("class".to_owned(), class);
        }
        "compression" => {
            let renamed = [
                ("sstable_compression", "class"),
                ("chunk_length_kb", "chunk_length_in_kb"),
            ];
            for (old, new) in renamed {
                if let Some(value) = map.remove(old) {
                    map.insert(new.to_owned(), value);
                }
            }
            if map.get("class").is_some_and(String::is_empty) {
                map = owned(&[("enabled", "false")]);
            }
            if let Some(class) = map.get("class") {
                let class = class_name(class, COMPRESSION_PACKAGE);
                if !is_known(&class, COMPRESSION_PACKAGE, &COMPRESSION_CLASSES) {
                    return Err(config(format!("Could not create Compression for type {class}")));
                }
                map.insert("class".to_owned(), class);
                map.entry("chunk_length_in_kb".to_owned())
                    .or_insert_with(|| "16".to_owned());
            }
        }
        "caching" => {
            for (key, value) in [("keys", "ALL"), ("rows_per_partition", "NONE")] {
                map.entry(key.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        _ => {}
    }
    Ok(Setting::Map(map))
}

fn is_known(class: &str, package: &str, known: &[&str]) -> bool {
    class
        .strip_prefix(package)
        .is_some_and(|short| known.contains(&short))
}

fn class_name(class: &str, package: &str) -> String {
    if class.contains('.') {
        class.to_owned()
    } else {
        format!("{package}{class}")
    }
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}
