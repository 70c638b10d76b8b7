//! Asks the demo cluster about flights. Start one with `cargo run --release -- demo`, then:
//!
//! ```text
//! cargo run -p starling-client --example flights -- N14228
//! ```

use futures::TryStreamExt;
use serde::Deserialize;
use starling_client::{Consistency, Error, Session};

/// A row of `flights.by_tail`, as far as we are interested.
#[derive(Debug, Deserialize)]
struct Flight {
    departure: String,
    carrier: String,
    #[serde(rename = "flight")]
    number: i32,
    origin: String,
    destination: String,
    departure_delay: Option<i32>,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let tail = std::env::args().nth(1).unwrap_or_else(|| "N14228".to_owned());
    let session = Session::builder()
        .contacts(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        .consistency(Consistency::Quorum)
        .connect()
        .await?;
    let flights = session
        .prepare(
            "SELECT departure, carrier, flight, origin, destination, departure_delay \
             FROM flights.by_tail WHERE tail = ?",
        )
        .await?
        .with_page_size(100);
    let mut rows = session.stream(&flights, (&tail,))?.typed::<Flight>();
    let (mut count, mut late) = (0, 0);
    while let Some(flight) = rows.try_next().await? {
        count += 1;
        late += flight.departure_delay.unwrap_or(0);
        if count <= 10 {
            println!(
                "{}  {}{:<5} {} -> {}  {}",
                flight.departure,
                flight.carrier,
                flight.number,
                flight.origin,
                flight.destination,
                flight
                    .departure_delay
                    .map_or("cancelled".to_owned(), |delay| format!("{delay:+} min"))
            );
        }
    }
    println!("{tail} flew {count} times, {late} minutes late in all.");
    Ok(())
}
