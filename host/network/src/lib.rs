//! Published ports and how their traffic reaches tasks.
