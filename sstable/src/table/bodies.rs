//! Memory that bodies are decompressed to, one after the other.

/// So many dictionaries are remembered: about as many tables as a point read looks into.
const MOST: usize = 8;

/// Memory for blocks of large rows is given back, in bytes.
const KEPT_BYTES: usize = 256 << 10;

/// Keeps memory from one body to the next, with what is to lie before the bodies of the tables that were used last.
#[derive(Debug, Clone, Default)]
pub(super) struct Bodies {
    kept: Vec<Kept>,
    /// The one that goes next, once there are as many as are kept.
    oldest: usize,
}

#[derive(Debug, Clone)]
struct Kept {
    /// Which prelude it begins with.
    id: u64,
    memory: Vec<u8>,
}

impl Bodies {
    /// Memory for a body of so many bytes behind a prelude, which is known by its id. What the body's bytes are is not said.
    pub(super) fn memory(&mut self, id: u64, prelude: &[u8], bytes: usize) -> &mut [u8] {
        let at = match self.kept.iter().position(|kept| kept.id == id) {
            Some(at) => at,
            None => self.keep(id, prelude),
        };
        let length = prelude.len() + bytes;
        let memory = &mut self.kept[at].memory;
        if memory.len() < length {
            memory.resize(length, 0);
        }
        &mut memory[..length]
    }

    #[cold]
    fn keep(&mut self, id: u64, prelude: &[u8]) -> usize {
        if self.kept.len() < MOST {
            self.kept.push(Kept {
                id,
                memory: prelude.to_vec(),
            });
            return self.kept.len() - 1;
        }
        let at = self.oldest;
        self.oldest = (at + 1) % MOST;
        let kept = &mut self.kept[at];
        kept.id = id;
        kept.memory.clear();
        kept.memory.extend_from_slice(prelude);
        at
    }

    /// Gives large memory back.
    pub(super) fn keep_small(&mut self) {
        self.kept.retain(|kept| kept.memory.capacity() <= KEPT_BYTES);
        self.oldest %= self.kept.len().max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prelude_stays_before_the_bodies_of_its_table() {
        let mut bodies = Bodies::default();
        let preludes: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; usize::from(n)]).collect();
        for round in 0..3 {
            for (id, prelude) in preludes
                .iter()
                .enumerate()
                .filter(|(id, _)| round != 1 || id % 3 == 0)
            {
                let bytes = 10 + id * round;
                let memory = bodies.memory(id as u64, prelude, bytes);
                assert_eq!(memory.len(), prelude.len() + bytes);
                assert_eq!(&memory[..prelude.len()], prelude);
                memory[prelude.len()..].fill(0xFF);
            }
            bodies.keep_small();
            assert_eq!(bodies.kept.len(), MOST);
        }
    }

    #[test]
    fn large_memory_is_given_back() {
        let mut bodies = Bodies::default();
        bodies.memory(1, b"one", 100);
        bodies.memory(2, b"two", KEPT_BYTES);
        bodies.keep_small();
        assert_eq!(bodies.kept.len(), 1);
        assert_eq!(&bodies.memory(2, b"two", 1)[..3], b"two");
    }
}
