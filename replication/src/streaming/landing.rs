//! The files of a stream as they come down on the disk here, one after the other.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use starling_sstable::fs::{Fs, WriteFile};

use super::{StreamFile, source::remove_all};

/// Files that are written from beginning to end, in order. All its work touches the disk.
pub(super) struct Landing {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    lengths: Vec<u64>,
    /// Files that are whole.
    whole: usize,
    /// The next one, if some of it is here, and how much of it is left.
    open: Option<(Box<dyn WriteFile>, u64)>,
}

impl Landing {
    /// Into a directory that is made with the first write, and emptied if it is there. No file may be empty.
    pub(super) fn new(fs: Arc<dyn Fs>, dir: PathBuf, files: &[StreamFile]) -> Self {
        Self {
            fs,
            dir,
            lengths: files.iter().map(|file| file.bytes).collect(),
            whole: 0,
            open: None,
        }
    }

    /// Where the files are, in order.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        (0..self.lengths.len()).map(|number| self.path(number)).collect()
    }

    fn path(&self, number: usize) -> PathBuf {
        self.dir.join(format!("{number}.table"))
    }

    /// Writes pieces, none of which is of two files. Returns the files that are whole now, to be synced.
    pub(super) fn write(&mut self, pieces: &[Bytes]) -> io::Result<Vec<Box<dyn WriteFile>>> {
        let mut whole = Vec::new();
        for piece in pieces {
            let (mut file, left) = match self.open.take() {
                Some(open) => open,
                None => self.begin()?,
            };
            file.append(piece)?;
            match left.checked_sub(piece.len() as u64) {
                None => return Err(io::Error::other("more came of a file than it has")),
                Some(0) => {
                    self.whole += 1;
                    whole.push(file);
                }
                Some(left) => self.open = Some((file, left)),
            }
        }
        Ok(whole)
    }

    fn begin(&self) -> io::Result<(Box<dyn WriteFile>, u64)> {
        let Some(length) = self.lengths.get(self.whole) else {
            return Err(io::Error::other("more files came than were announced"));
        };
        if self.whole == 0 {
            remove_all(&*self.fs, &self.dir);
            self.fs.create_dir_all(&self.dir)?;
        }
        Ok((self.fs.create(&self.path(self.whole))?, *length))
    }
}
