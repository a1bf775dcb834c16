//! The Docker Engine HTTP API and what lives beside it.
