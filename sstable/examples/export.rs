//! How fast a part of an engine's tokens is written out for another node, beside what the disk takes in one file.
//!
//! ```sh
//! cargo run --release -p starling-sstable --example export -- [MIB [VALUE_BYTES [RANGES [DIR]]]]
//! ```
//!
//! For each compression an engine is filled with MIB of rows (default 512) with values of so many bytes (default 1000), as
//! random ones, which do not compress, and as texts, which do. Then half of all tokens is exported, in so many ranges
//! (default 16), so that all tables have to be cut, three times, of which the best counts. Rates are those of bytes of files, in a
//! second and, on Linux, in a second that a processor was at work, which tells more on a busy machine.

#![allow(
    clippy::disallowed_methods,
    reason = "a measurement is no part of the engine: it reads the clock and the arguments"
)]

use std::{
    env,
    error::Error,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, DecoratedKey, Marker, Mutation, Partition, Row, Seconds, TableId,
    Timestamp, Token, TokenRange, TokenSet,
};
use starling_sstable::{
    Compression, Engine, Exported, Options, Step,
    fs::{Fs, RealFs},
    table::{Table, verify},
};

const TABLE: TableId = TableId(1);
const ROUNDS: usize = 3;
const WORDS: [&str; 16] = [
    "murmuration",
    "of",
    "starlings",
    "leaves",
    "the",
    "field",
    "at",
    "dusk",
    "and",
    "no",
    "bird",
    "leads",
    "evening",
    "over",
    "water",
    "again",
];

struct Wish {
    bytes: u64,
    value_bytes: usize,
    ranges: i128,
    dir: PathBuf,
}

/// Numbers without an order; a step of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn value(number: u64, bytes: usize, is_text: bool) -> Bytes {
    let mut value = Vec::with_capacity(bytes + 16);
    let mut at = number << 16;
    while value.len() < bytes {
        at += 1;
        let luck = mixed(at);
        if is_text {
            value.extend_from_slice(WORDS[(luck % 16) as usize].as_bytes());
            value.push(b' ');
        } else {
            value.extend_from_slice(&luck.to_le_bytes());
        }
    }
    value.truncate(bytes);
    value.into()
}

fn insert(number: u64, value: Bytes) -> Mutation {
    let timestamp = Timestamp(1_700_000_000_000_000 + number as i64);
    let row = Row {
        marker: Some(Marker {
            timestamp,
            expiry: None,
        }),
        deletion: None,
        cells: vec![Cell {
            column: ColumnId(1),
            path: None,
            timestamp,
            value: CellValue::Live { value, expiry: None },
        }],
    };
    let mut partition = Partition::default();
    partition.add_row(Clustering::from(Vec::new()), row);
    Mutation {
        table: TABLE,
        key: DecoratedKey {
            token: Token(mixed(number) as i64),
            key: Bytes::copy_from_slice(&number.to_be_bytes()),
        },
        partition,
    }
}

fn settle(engine: &mut Engine) -> Result<(), Box<dyn Error>> {
    while let Some(mut job) = engine.next_job(Seconds(1)) {
        while job.step()? == Step::More {}
        engine.finish(job)?;
    }
    Ok(())
}

fn filled(wish: &Wish, compression: Compression, is_text: bool) -> Result<Engine, Box<dyn Error>> {
    let options = Options {
        compression,
        block_bytes: compression.default_block_bytes(),
        scrub_seconds: 0,
        ..Options::default()
    };
    let (mut engine, _) = Engine::open(Arc::new(RealFs), wish.dir.join("shard"), options)?;
    for number in 0..wish.bytes / wish.value_bytes as u64 {
        engine.apply(&insert(number, value(number, wish.value_bytes, is_text)))?;
        if number % 4096 == 0 {
            engine.log().sync()?;
            settle(&mut engine)?;
        }
    }
    engine.log().sync()?;
    engine.flush_all();
    settle(&mut engine)?;
    Ok(engine)
}

/// Every second of twice as many ranges, which are equally wide.
fn every_second(ranges: i128) -> TokenSet {
    let width = (1_i128 << 64) / (2 * ranges);
    let edge = |at: i128| Token((i128::from(i64::MIN) + at * width) as i64);
    let range = |at: i128| TokenRange {
        start: edge(2 * at),
        end: edge(2 * at + 1),
    };
    (0..ranges).map(range).collect()
}

fn export(engine: &mut Engine, tokens: &TokenSet, to: PathBuf) -> Result<Vec<Exported>, Box<dyn Error>> {
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let done = move |made| {
        if let Ok(mut told) = tell.lock() {
            *told = Some(made);
        }
    };
    engine.export(
        TABLE,
        tokens,
        &[TokenRange {
            start: Token::MIN,
            end: Token::MAX,
        }],
        to,
        done,
    )?;
    settle(engine)?;
    let made = told.lock().ok().and_then(|mut told| told.take());
    Ok(made.ok_or("the export was not told")??)
}

fn megabytes(files: &[Exported]) -> f64 {
    files.iter().map(|file| file.bytes).sum::<u64>() as f64 / 1e6
}

/// Megabytes in a second, and in a second of a processor.
#[derive(Clone, Copy, Default)]
struct Rate {
    passed: f64,
    processor: f64,
}

struct Begun {
    at: Instant,
    processor: f64,
}

impl Rate {
    fn begin() -> Begun {
        Begun {
            at: Instant::now(),
            processor: processor(),
        }
    }

    fn better(self, other: Self) -> Self {
        Self {
            passed: self.passed.max(other.passed),
            processor: self.processor.max(other.processor),
        }
    }
}

impl Begun {
    fn end(&self, files: &[Exported]) -> Rate {
        let megabytes = megabytes(files);
        Rate {
            passed: megabytes / self.at.elapsed().as_secs_f64(),
            processor: megabytes / (processor() - self.processor),
        }
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0}; {:.0} MB/s", self.passed, self.processor)
    }
}

/// Seconds that a processor was at work for this thread; of no meaning where the system does not tell.
fn processor() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text
        .split_whitespace()
        .next()
        .and_then(|number| number.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}

/// What the disk takes in one file, not synced, of bytes that are in memory.
fn write(files: &[Exported], to: &Path) -> Result<Rate, Box<dyn Error>> {
    let contents = files
        .iter()
        .map(|file| RealFs.read(&file.path))
        .collect::<Result<Vec<_>, _>>()?;
    let before = Rate::begin();
    let mut file = RealFs.create(to)?;
    for content in &contents {
        for piece in content.chunks(256 << 10) {
            file.append(piece)?;
        }
    }
    file.flush()?;
    Ok(before.end(files))
}

fn argument<T: std::str::FromStr>(at: usize, default: T) -> Result<T, Box<dyn Error>>
where
    T::Err: Display,
{
    match env::args().nth(at) {
        Some(text) => text.parse().map_err(|error| format!("{text}: {error}").into()),
        None => Ok(default),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let parent: PathBuf = argument(4, env::temp_dir())?;
    let wish = Wish {
        bytes: argument::<u64>(1, 512)? << 20,
        value_bytes: argument(2, 1000)?,
        ranges: argument(3, 16)?,
        dir: parent.join(format!("starling-export-{}", std::process::id())),
    };
    println!(
        "| compression | values | tables | all | exported | files | export | written alone | read to the last byte |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (compression, is_text) in [
        (Compression::Lz4, false),
        (Compression::Lz4, true),
        (Compression::None, true),
        (Compression::Zstd, true),
        (Compression::ZstdDictionary, true),
    ] {
        let outcome = measure(&wish, compression, is_text);
        fs::remove_dir_all(&wish.dir)?;
        outcome?;
    }
    Ok(())
}

fn measure(wish: &Wish, compression: Compression, is_text: bool) -> Result<(), Box<dyn Error>> {
    let mut engine = filled(wish, compression, is_text)?;
    let (tables, all) = (engine.stats().tables, engine.stats().table_bytes);
    let tokens = every_second(wish.ranges);
    let mut best = Rate::default();
    let mut files = Vec::new();
    for round in 0..ROUNDS {
        let before = Rate::begin();
        files = export(&mut engine, &tokens, wish.dir.join(format!("out-{round}")))?;
        best = best.better(before.end(&files));
    }
    let alone = write(&files, &wish.dir.join("alone"))?;
    let before = Rate::begin();
    for file in &files {
        verify(&Arc::new(Table::open_file(&RealFs, file.path.clone(), 1)?))?;
    }
    let verified = before.end(&files);
    println!(
        "| {compression:?} | {} | {tables} | {:.0} MB | {:.0} MB | {} | {best} | {alone} | {verified} |",
        if is_text { "texts" } else { "random" },
        all as f64 / 1e6,
        megabytes(&files),
        files.len(),
    );
    Ok(())
}
