//! How much each node should hold, as far as racks leave a choice.

/// The replicas that a datacenter keeps of everything, and the sizes of its racks.
#[derive(Debug, Clone)]
pub(super) struct Racks {
    /// For each rack its number of nodes; none is empty.
    pub(super) sizes: Vec<u32>,
    /// Replicas of everything; fewer than nodes.
    pub(super) factor: u32,
}

impl Racks {
    /// How many replicas of an arc may come from racks that have one already: what NetworkTopologyStrategy
    /// allows.
    pub(super) fn repeats(&self) -> u32 {
        self.factor.saturating_sub(self.sizes.len() as u32)
    }

    /// For each rack how much of the space each of its nodes holds if all hold the same, as far as that
    /// can be: a rack has at most one replica of everything where there are enough racks, and at least
    /// one where there are not more racks than replicas.
    pub(super) fn ideals(&self) -> Vec<f64> {
        let rack_factor = f64::from(self.factor);
        let enough = self.sizes.len() as u32 >= self.factor;
        let least = if self.sizes.len() as u32 <= self.factor {
            1.0
        } else {
            0.0
        };
        let most = if enough {
            1.0
        } else {
            f64::from(self.repeats() + 1)
        };
        let held = |level: f64, size: u32| (level * f64::from(size)).clamp(least, most.min(f64::from(size)));
        let (mut low, mut high) = (0.0, most);
        for _ in 0..60 {
            let level = f64::midpoint(low, high);
            let total: f64 = self.sizes.iter().map(|size| held(level, *size)).sum();
            if total < rack_factor {
                low = level;
            } else {
                high = level;
            }
        }
        self.sizes
            .iter()
            .map(|size| held(high, *size) / f64::from(*size))
            .collect()
    }
}
