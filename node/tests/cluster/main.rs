//! Clusters of real processes, on 127.0.0.1 to 127.0.0.6, with ports chosen at run time.

mod availability;
mod damage;
mod decay;
mod demo;
mod durability;
mod flood;
mod full_disk;
mod garbage;
mod harness;
mod joining;
mod lanes;
mod levels;
mod messages;
mod operations;
mod plans;
mod repair;
mod strangers;
mod topology;
