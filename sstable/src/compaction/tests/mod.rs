mod choices;
mod costs;
mod scaling;
mod slices;
