//! How fast an engine that was not stopped in order reads its log.

use std::{sync::Arc, time::Instant};

use starling_sstable::{Compression, Engine, Options, fs::RealFs};

use super::{encoder::Encoder, failed};
use crate::engine::{error::Error, rows::Key, run::Recovered, session::Settings};

/// Writes that share a sync.
const BATCH: u64 = 1_000;

/// Writes rows to an engine that flushes none of them, drops it, and opens it anew.
pub fn recover(settings: &Settings, rows: u64) -> Result<Recovered, Error> {
    let dir = settings.dir.join("recovery");
    let lz4 = settings.lz4;
    let options = Options {
        memtable_bytes: settings.memtable_bytes,
        memory_bytes: settings.memory_bytes,
        compression: if lz4 { Compression::Lz4 } else { Compression::None },
        log_bytes: u64::MAX,
        ..Options::default()
    };
    let gathering = Options {
        memtable_bytes: usize::MAX,
        memory_bytes: usize::MAX,
        ..options.clone()
    };
    let bytes = {
        let (mut engine, _) = Engine::open(Arc::new(RealFs), dir.clone(), gathering).map_err(failed)?;
        let mut encoder = Encoder::new(settings);
        for number in 0..rows {
            let record = encoder.encode(Key::of(number), 0);
            engine.apply_encoded(record).map_err(failed)?;
            if number % BATCH == 0 {
                engine.log().sync().map_err(failed)?;
            }
        }
        engine.log().sync().map_err(failed)?;
        engine.log().written_bytes()
    };
    let start = Instant::now();
    let (_, recovery) = Engine::open(Arc::new(RealFs), dir.clone(), options).map_err(failed)?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(dir)?;
    if recovery.replayed != rows {
        return Err(failed(format!(
            "{} of {rows} writes were recovered",
            recovery.replayed
        )));
    }
    Ok(Recovered {
        writes: rows,
        bytes,
        seconds,
    })
}
