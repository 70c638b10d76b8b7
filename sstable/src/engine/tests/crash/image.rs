//! What a disk may hold after a crash.

use std::{collections::BTreeMap, path::PathBuf};

use super::recorder::{FileId, Operation};
use crate::{
    fixtures::dir,
    fs::{Fs, MemoryFs},
};

/// A write may be cut at multiples of this many bytes, and any of the pieces lost. Smaller than a disk's sector, so
/// that little data is cut often.
const SECTOR: usize = 128;

/// All choices are tried where they are at most this many; else so many of them, by chance.
const CHOICES: u64 = 24;

/// A disk's content.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) names: BTreeMap<PathBuf, FileId>,
    pub(super) files: BTreeMap<FileId, Vec<u8>>,
}

impl Image {
    pub(super) fn to_fs(&self) -> MemoryFs {
        let fs = MemoryFs::new();
        fs.create_dir_all(&dir()).unwrap();
        for (path, file) in &self.names {
            let mut out = fs.create(path).unwrap();
            out.append(self.files.get(file).map_or(&[][..], |bytes| bytes))
                .unwrap();
            out.sync().unwrap();
        }
        fs.sync_dir(&dir()).unwrap();
        fs
    }
}

/// What is durable at a moment, and what may be.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    durable: Image,
    names: Vec<Vec<(PathBuf, Option<FileId>)>>,
    /// Pieces of writes, each of which is lost or kept.
    pieces: Vec<(FileId, usize, Vec<u8>)>,
}

impl State {
    pub(super) fn new(durable: Image) -> Self {
        Self {
            durable,
            ..Self::default()
        }
    }

    pub(super) fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::Names(names) => self.names.push(names.clone()),
            Operation::Write { file, at, bytes } => {
                let (mut at, mut rest) = (*at, &bytes[..]);
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                    self.pieces.push((*file, at, piece.to_vec()));
                    (at, rest) = (at + piece.len(), after);
                }
            }
            Operation::Sync(file) => {
                let (synced, others) = std::mem::take(&mut self.pieces)
                    .into_iter()
                    .partition(|(of, ..)| of == file);
                self.pieces = others;
                for piece in &synced {
                    put(&mut self.durable, piece);
                }
            }
            Operation::SyncNames => {
                for names in std::mem::take(&mut self.names) {
                    assign(&mut self.durable, &names);
                }
            }
            Operation::Tried(_) | Operation::Durable(_) => {}
        }
    }

    /// Every image that a crash may leave now, or some of them if they are many.
    pub(super) fn images(&self, random: &mut Random) -> Vec<Image> {
        let choices = self.names.len() + self.pieces.len();
        if choices < 63 && 1_u64 << choices <= CHOICES {
            return (0..1_u64 << choices)
                .map(|kept| self.image(|n| kept >> n & 1 == 1))
                .collect();
        }
        // All lost, all kept, in order up to some point; and anything.
        let mut images = vec![self.image(|_| false), self.image(|_| true)];
        while (images.len() as u64) < CHOICES {
            let cut = random.below(choices as u64 + 1) as usize;
            images.push(self.image(|n| n < cut));
            images.push(self.image(|_| random.below(2) == 0));
            images.push(self.image(|_| random.below(8) > 0));
        }
        images
    }

    /// The image with those choices that are kept.
    fn image(&self, mut kept: impl FnMut(usize) -> bool) -> Image {
        let mut image = self.durable.clone();
        for (n, names) in self.names.iter().enumerate() {
            if kept(n) {
                assign(&mut image, names);
            }
        }
        for (n, piece) in self.pieces.iter().enumerate() {
            if kept(self.names.len() + n) {
                put(&mut image, piece);
            }
        }
        image
    }
}

fn assign(image: &mut Image, names: &[(PathBuf, Option<FileId>)]) {
    for (path, file) in names {
        match file {
            Some(file) => image.names.insert(path.clone(), *file),
            None => image.names.remove(path),
        };
    }
}

/// What is missing before a piece reads as zeros.
fn put(image: &mut Image, (file, at, piece): &(FileId, usize, Vec<u8>)) {
    let content = image.files.entry(*file).or_default();
    let end = at + piece.len();
    content.resize(content.len().max(end), 0);
    content[*at..end].copy_from_slice(piece);
}

/// Repeatable chance (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
