//! STARTUP and OPTIONS: what both sides agree on.

use starling_cql::{
    Error, ErrorKind,
    protocol::{Compression, Response, Version},
};

/// The version of CQL that SUPPORTED names (drivers show it; any that they ask for is accepted).
pub(super) const CQL_VERSION: &str = "3.4.7";

/// What a client asked for in STARTUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    pub(super) compression: Option<Compression>,
    /// Errors rather than waiting when the connection has too much in flight.
    pub(super) refuse_on_overload: bool,
}

/// The answer to OPTIONS in a version.
pub(super) fn supported(version: Version) -> Response {
    let compressions = Compression::supported(version)
        .iter()
        .map(|one| one.name().to_owned());
    let versions = Version::ALL.iter().map(ToString::to_string);
    Response::Supported(vec![
        ("CQL_VERSION".to_owned(), vec![CQL_VERSION.to_owned()]),
        ("COMPRESSION".to_owned(), compressions.collect()),
        ("PROTOCOL_VERSIONS".to_owned(), versions.collect()),
    ])
}

/// Reads the options of STARTUP. Unknown ones have no meaning; of one that comes twice the last counts.
pub(super) fn agree(options: &[(String, String)], version: Version) -> Result<Agreement, Error> {
    let mut agreement = Agreement {
        compression: None,
        refuse_on_overload: false,
    };
    for (name, value) in options {
        if name.eq_ignore_ascii_case("COMPRESSION") {
            agreement.compression = named_compression(value, version)?;
        } else if name.eq_ignore_ascii_case("THROW_ON_OVERLOAD") {
            agreement.refuse_on_overload = value == "1" || value.eq_ignore_ascii_case("true");
        }
    }
    Ok(agreement)
}

fn named_compression(name: &str, version: Version) -> Result<Option<Compression>, Error> {
    if name.is_empty() || name.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    Compression::named(name, version).map(Some).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        let known: Vec<_> = Compression::supported(version)
            .iter()
            .map(|one| one.name())
            .collect();
        let message = format!(
            "Unknown compression algorithm '{name}' in protocol version {version}; known are: {}",
            known.join(", ")
        );
        Error::new(ErrorKind::Protocol, message)
    })
}
