//! A manager node: leader loop, dispatcher, blobs and roles.
