//! Stories of whole clusters, told in seconds: see `swarmw-sim`.

mod callers;
mod certificates;
mod compilers;
mod containers;
mod doctor;
mod faults;
mod jobs;
mod leaders;
mod logs;
mod nodes;
mod rest;
mod restarts;
mod roles;
mod support;
mod updates;
