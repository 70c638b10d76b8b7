//! The parts of a table on their way to the file.

use std::path::PathBuf;

use crate::{
    Compression, Error,
    fs::WriteFile,
    table::{
        Properties, block,
        codec::Compressor,
        directory,
        layout::{self, Footer, Handle},
        stripe,
    },
};

/// So much is handed to the file at once, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// Stripes wait for each other until they have so much, in bytes: what is read most lies together then, and
/// memory stays bounded however large the table is.
const GROUP_BYTES: usize = 8 << 20;

/// A block that is complete.
pub(super) struct Block<'a> {
    /// Its entries; forgotten when it is taken.
    pub(super) entries: &'a mut block::Builder,
    /// A key greater than those before it, and not greater than its first.
    pub(super) separator: &'a [u8],
    /// The hashes of the partitions that begin in it.
    pub(super) hashes: &'a [u64],
}

/// A block that waits for the dictionary.
struct Waiting {
    entries: block::Builder,
    separator: Vec<u8>,
    hashes: Vec<u64>,
}

/// A file in the making.
pub(super) struct Output {
    file: Box<dyn WriteFile>,
    path: PathBuf,
    /// Bytes of the file, those in `buffer` included.
    offset: u64,
    buffer: Vec<u8>,
    compressor: Compressor,
    /// Blocks that wait for a dictionary, and their bytes; `None` once there is one, or none is wanted.
    waiting: Option<(Vec<Waiting>, usize)>,
    dictionary: Option<Handle>,
    filter_bits: u32,
    stripe: stripe::Builder,
    /// The separator of its first block.
    stripe_separator: Vec<u8>,
    /// Complete stripes that were not written yet, and the separator and the end of each.
    group: Vec<u8>,
    group_parts: Vec<(Vec<u8>, usize)>,
    directory: directory::Builder,
}

impl Output {
    pub(super) fn new(
        file: Box<dyn WriteFile>,
        path: PathBuf,
        compression: Compression,
        filter_bits: u32,
    ) -> Result<Self, Error> {
        let compressor = Compressor::new(compression);
        let mut output = Self {
            file,
            path,
            offset: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES + (BUFFER_BYTES >> 3)),
            waiting: compressor.wanted_sample().map(|_| Default::default()),
            compressor,
            dictionary: None,
            filter_bits: filter_bits.clamp(1, 64),
            stripe: stripe::Builder::default(),
            stripe_separator: Vec::new(),
            group: Vec::new(),
            group_parts: Vec::new(),
            directory: directory::Builder::default(),
        };
        output.append(&layout::header())?;
        Ok(output)
    }

    /// Blocks of another table follow, which were made with this dictionary. What is compressed here is without one.
    pub(super) fn adopt(&mut self, dictionary: Option<&[u8]>) -> Result<(), Error> {
        self.waiting = None;
        if let Some(dictionary) = dictionary {
            self.write_dictionary(dictionary)?;
        }
        Ok(())
    }

    /// What is written from now on goes to the disk bit by bit.
    pub(super) fn sync_in_pieces(&mut self) {
        self.file.sync_in_pieces();
    }

    /// And it need not stay in memory.
    pub(super) fn drop_behind(&mut self) {
        self.file.drop_behind();
    }

    /// About how many bytes there are, in the file and on the way to it.
    pub(super) fn bytes(&self) -> u64 {
        let waiting = self.waiting.as_ref().map_or(0, |(_, bytes)| *bytes);
        self.offset + (self.group.len() + waiting) as u64
    }

    /// Takes a block.
    pub(super) fn block(&mut self, block: Block<'_>) -> Result<(), Error> {
        let Some((waiting, bytes)) = &mut self.waiting else {
            return self.write_block(block);
        };
        *bytes += block.entries.len();
        waiting.push(Waiting {
            entries: std::mem::take(block.entries),
            separator: block.separator.to_vec(),
            hashes: block.hashes.to_vec(),
        });
        if self
            .compressor
            .wanted_sample()
            .is_none_or(|wanted| *bytes >= wanted)
        {
            self.learn()?;
        }
        Ok(())
    }

    /// Makes the dictionary, if the blocks that wait are enough for one, and writes them.
    fn learn(&mut self) -> Result<(), Error> {
        let Some((waiting, _)) = self.waiting.take() else {
            return Ok(());
        };
        let mut samples = Vec::new();
        let sizes: Vec<usize> = waiting
            .iter()
            .map(|block| block.entries.put_sample(&mut samples))
            .collect();
        if let Some(dictionary) = self.compressor.learn(&samples, &sizes) {
            self.write_dictionary(&dictionary)?;
        }
        for mut block in waiting {
            self.write_block(Block {
                entries: &mut block.entries,
                separator: &block.separator,
                hashes: &block.hashes,
            })?;
        }
        Ok(())
    }

    fn write_dictionary(&mut self, dictionary: &[u8]) -> Result<(), Error> {
        let mut part = vec![0; layout::CHECKSUM_BYTES];
        part.extend_from_slice(dictionary);
        self.dictionary = Some(self.write_part(&mut part)?);
        Ok(())
    }

    fn write_block(&mut self, block: Block<'_>) -> Result<(), Error> {
        let start = self.buffer.len();
        block.entries.finish(&mut self.compressor, &mut self.buffer);
        self.place(start, block.separator, block.hashes)
    }

    /// Takes a block as it lies `at` an offset of the table whose dictionary was [adopted](Self::adopt): all but its checksum,
    /// which tells where it lies. `false`: what came here is not what that checksum was made of, and the file is to be given up.
    pub(super) fn copy(
        &mut self,
        (block, at): (&[u8], u64),
        separator: &[u8],
        hashes: &[u64],
    ) -> Result<bool, Error> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(block);
        // Else a page that went bad since the block was read would get a checksum that fits it.
        if !layout::is_whole(&self.buffer[start..], at) {
            return Ok(false);
        }
        self.place(start, separator, hashes)?;
        Ok(true)
    }

    /// Counts the block in that the buffer has from `start` on.
    fn place(&mut self, start: usize, separator: &[u8], hashes: &[u64]) -> Result<(), Error> {
        let offset = self.offset;
        let length = self.buffer.len() - start;
        layout::seal(&mut self.buffer[start..], offset);
        self.offset += length as u64;
        if self.stripe.is_empty() {
            self.stripe_separator.clear();
            self.stripe_separator.extend_from_slice(separator);
        }
        self.stripe.block(separator, offset, length as u64, hashes);
        if self.stripe.is_full() {
            self.end_stripe()?;
        }
        self.drain(BUFFER_BYTES)
    }

    fn end_stripe(&mut self) -> Result<(), Error> {
        if self.stripe.is_empty() {
            return Ok(());
        }
        self.stripe.finish(self.filter_bits, &mut self.group);
        let separator = std::mem::take(&mut self.stripe_separator);
        self.group_parts.push((separator, self.group.len()));
        if self.group.len() >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    /// Writes the stripes that wait.
    fn end_group(&mut self) -> Result<(), Error> {
        let gap = self.offset.next_multiple_of(stripe::ALIGNMENT as u64) - self.offset;
        self.append(&[0; stripe::ALIGNMENT][..gap as usize])?;
        let mut group = std::mem::take(&mut self.group);
        let mut start = 0;
        for (separator, end) in std::mem::take(&mut self.group_parts) {
            let handle = self.write_part(&mut group[start..end])?;
            self.directory.stripe(&separator, handle);
            start = end;
        }
        group.clear();
        self.group = group;
        Ok(())
    }

    /// Writes a part whose checksum is still missing.
    fn write_part(&mut self, part: &mut [u8]) -> Result<Handle, Error> {
        let offset = self.offset;
        layout::seal(part, offset);
        self.append(part)?;
        let length = u32::try_from(part.len()).map_err(|_| Error::TooLarge {
            what: "a part of a table",
            bytes: part.len(),
            limit: u32::MAX as usize,
        })?;
        Ok(Handle { offset, length })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        self.drain(BUFFER_BYTES)
    }

    /// Hands the buffer to the file if it holds at least so much.
    fn drain(&mut self, least: usize) -> Result<(), Error> {
        if self.buffer.len() < least {
            return Ok(());
        }
        self.file
            .append(&self.buffer)
            .map_err(Error::io("write", &self.path))?;
        self.buffer.clear();
        Ok(())
    }

    /// Completes the file, and syncs it if it is to outlive the process.
    pub(super) fn finish(mut self, properties: &Properties, is_durable: bool) -> Result<(), Error> {
        self.learn()?;
        self.end_stripe()?;
        self.end_group()?;
        let directory = std::mem::take(&mut self.directory);
        let directory = self.write_part(&mut directory.finish())?;
        let properties = self.write_part(&mut properties.encode())?;
        let footer = Footer {
            directory,
            properties,
            dictionary: self.dictionary,
        };
        let length = self.offset + layout::FOOTER_BYTES as u64;
        self.append(&footer.encode(length))?;
        self.drain(1)?;
        if is_durable {
            self.file.sync().map_err(Error::io("sync", &self.path))
        } else {
            self.file.flush().map_err(Error::io("write", &self.path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, MemoryFs};

    #[test]
    fn a_block_that_does_not_match_its_checksum_gets_no_other() {
        let (fs, path) = (MemoryFs::new(), PathBuf::from("/tables/1"));
        fs.create_dir_all("/tables".as_ref()).unwrap();
        let file = fs.create(&path).unwrap();
        let mut output = Output::new(file, path, Compression::None, 10).unwrap();
        output.adopt(None).unwrap();
        let mut block = vec![7; 100];
        layout::seal(&mut block, 4_096);
        assert!(output.copy((&block, 4_096), b"sep", &[]).unwrap());
        assert!(!output.copy((&block, 4_097), b"separator", &[]).unwrap());
        block[50] ^= 1;
        assert!(!output.copy((&block, 4_096), b"separator", &[]).unwrap());
    }
}
