mod behind;
mod choices;
mod costs;
mod pace;
mod ranges;
mod scaling;
mod slices;
mod tombstones;
