//! Replicas of everything, and how far what nodes hold of them is from what they should.

use super::{
    circle::{Circle, Share},
    fairness::Racks,
};

/// How much a stock counts in comparison to a load. Less, because it is only about those who come next.
const STOCK_WEIGHT: f64 = 0.6;

/// Up to this load, in ideals, nothing is wrong with a node.
const GOOD: f64 = 1.02;

/// An excess of this size beyond it costs 1; twice as much costs 16.
const STEP: f64 = 0.05;

/// Replicas, and how much of them each node should hold.
#[derive(Debug, Clone)]
pub(super) struct Balance {
    pub(super) circle: Circle,
    ideals: Vec<f64>,
    /// What every stock should be.
    stock_ideal: f64,
}

impl Balance {
    /// Of first replicas, which so many nodes share.
    pub(super) fn of_first(racks: &[u32], nodes: usize, tokens: Vec<(u64, u32)>) -> Self {
        let mut circle = Circle::new(racks.to_vec(), 1, 0);
        circle.fill(tokens);
        Self {
            circle,
            ideals: vec![1.0 / nodes as f64; racks.len()],
            stock_ideal: 0.0,
        }
    }

    /// Of so many replicas, as NetworkTopologyStrategy places them; `sizes` are the numbers of nodes of each rack, `racks`
    /// the rack of each node.
    pub(super) fn of(factor: u32, sizes: &[u32], racks: &[u32], tokens: Vec<(u64, u32)>) -> Self {
        let model = Racks {
            sizes: sizes.to_vec(),
            factor,
        };
        let rack_count = sizes.len() as u32;
        let mut circle = Circle::new(racks.to_vec(), factor as usize, model.repeats() as usize);
        let mut stock_ideal = 0.0;
        if factor > 2 && rack_count > factor && rack_count <= 2 * factor {
            circle = circle.with_stocks(rack_count);
            // A node is the last replica of a part as large as all are of; of the other racks these have none.
            let absent = f64::from(rack_count - factor) / f64::from(rack_count - 1);
            stock_ideal = absent / racks.len() as f64;
        }
        circle.fill(tokens);
        let ideals = model.ideals();
        Self {
            circle,
            ideals: racks.iter().map(|rack| ideals[*rack as usize]).collect(),
            stock_ideal,
        }
    }

    /// What a share is above its ideal, in the unit that it counts by; that unit for each part of the space; and whose share
    /// it is.
    pub(super) fn excess(&self, share: Share) -> (f64, f64, u32) {
        let (held, weight, node) = match share {
            Share::Load(node) => (self.circle.loads[node as usize], 1.0, node),
            Share::Stock(at) => (
                self.circle.stocks[at as usize],
                STOCK_WEIGHT,
                self.circle.holder(at),
            ),
        };
        let unit = weight / self.ideal(share);
        (held * unit - weight, unit, node)
    }

    /// How large a share should be.
    pub(super) fn ideal(&self, share: Share) -> f64 {
        match share {
            Share::Load(node) => self.ideals[node as usize],
            Share::Stock(_) => self.stock_ideal,
        }
    }

    /// What is wrong: who holds too much, and, less, what newcomers in some rack could relieve nobody of.
    pub(super) fn cost(&self) -> f64 {
        let loads = self.circle.loads.iter().zip(&self.ideals);
        let excess: f64 = loads
            .map(|(load, ideal)| {
                let excess = (load / ideal - GOOD).max(0.0) / STEP;
                excess * excess * excess * excess
            })
            .sum();
        let stocks = &self.circle.stocks;
        let lack: f64 = stocks
            .iter()
            .map(|stock| {
                let lack = (1.0 - stock / self.stock_ideal).max(0.0);
                lack * lack
            })
            .sum();
        excess + lack / (stocks.len() as f64).max(1.0)
    }
}
