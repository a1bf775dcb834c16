//! What every manager relies on: the same log makes the same state, whatever is
//! in it, and the rules by which changes are carried out, dropped or refused.

mod access;
mod autolock;
mod build;
mod consent;
mod data;
mod dump;
mod generic;
mod jobs;
mod names;
mod networks;
mod nodes;
mod plugins;
mod properties;
mod services;
mod tasks;
mod versions;
mod volumes;
