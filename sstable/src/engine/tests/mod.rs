mod bulk;
mod durability;
mod limits;
mod model;
mod pressure;
mod purge;
mod quarantine;
mod reads;
