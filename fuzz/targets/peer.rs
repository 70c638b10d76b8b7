//! Messages between nodes, and the partitions in them: a decoded one encodes to what decodes to it again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use starling_model::Mutation;
use starling_replication::message::{PeerRequest, PeerResponse, VERSION};

fuzz_target!(|data: &[u8]| {
    let Some((mode, bytes)) = data.split_first() else { return };
    // Of this version, so that inputs that were found stay worth something when there is another one.
    let message = || Bytes::from([&VERSION.to_be_bytes()[..], bytes].concat());
    match mode % 3 {
        0 => {
            if let Ok(request) = PeerRequest::decode(message()) {
                assert_eq!(PeerRequest::decode(request.encode()).as_ref(), Ok(&request));
            }
        }
        1 => {
            if let Ok(response) = PeerResponse::decode(message()) {
                assert_eq!(PeerResponse::decode(response.encode()).as_ref(), Ok(&response));
            }
        }
        _ => {
            if let Ok(mutation) = Mutation::decode(Bytes::copy_from_slice(bytes)) {
                assert_eq!(Mutation::decode(mutation.encode()), Ok(mutation));
            }
        }
    }
});
