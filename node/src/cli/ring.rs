//! `starling ring`.

use super::{AdminArgs, output};
use crate::{admin::RingEntry, failure::Failure};

pub(super) fn run(args: &AdminArgs) -> Result<(), Failure> {
    let ring: Vec<RingEntry> = args.fetch("/ring")?;
    if args.format == output::Format::Json {
        return output::json(&ring);
    }
    let rows = ring.iter().map(|entry| {
        vec![
            format!("{:>20}", entry.token),
            entry.address.to_string(),
            entry.datacenter.clone(),
            entry.rack.clone(),
            (if entry.up { "up" } else { "down" }).to_owned(),
            entry.id.clone(),
        ]
    });
    println!(
        "{}",
        output::table(&["token", "address", "datacenter", "rack", "state", "id"], rows)
    );
    Ok(())
}
