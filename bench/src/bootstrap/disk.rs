//! What the disk takes when nothing but one file is written.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::Instant,
};

/// How often it is measured: the median counts.
const RUNS: usize = 3;

/// Bytes of a write.
const CHUNK: usize = 1 << 20;

/// Bytes a second, of so many bytes written one after the other and synced once. The file is removed.
pub(super) fn sequential_rate(path: &Path, bytes: u64) -> io::Result<f64> {
    // Zeros might not be written at all.
    let chunk: Vec<u8> = (0..CHUNK)
        .map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let mut rates = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        let mut file = File::create(path)?;
        for _ in 0..bytes.div_ceil(CHUNK as u64).max(1) {
            file.write_all(&chunk)?;
        }
        file.sync_data()?;
        rates.push(bytes as f64 / started.elapsed().as_secs_f64().max(1e-9));
        drop(file);
        fs::remove_file(path)?;
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[RUNS / 2])
}
