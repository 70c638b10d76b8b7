//! What a node does with a request.

#![forbid(unsafe_code)]
