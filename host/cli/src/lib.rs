//! The swarmw command line.
