mod durability;
mod limits;
mod model;
mod purge;
mod reads;
