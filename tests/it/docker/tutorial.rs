//! The Swarm tutorial, word for word.
