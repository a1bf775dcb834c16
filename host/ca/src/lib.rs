//! Certificates, join tokens and the identities they prove.
