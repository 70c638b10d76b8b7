mod behind;
mod choices;
mod costs;
mod pace;
mod scaling;
mod slices;
mod tombstones;
