//! The pure part of runmesh: journal, documents, series, index, search and the sync session.
//!
//! Nothing here asks for the time, for randomness, for the environment or for the network: it is
//! told. That is what lets a test run fifty devices through a year in a second, twice the same.

pub mod act;
pub mod action;
pub mod api;
pub mod artifact;
pub mod audit;
pub mod bundle;
pub mod carried;
pub mod clock;
pub mod codec;
pub mod conflicts;
pub mod disk;
pub mod document;
pub mod edit;
pub mod edit_log;
pub mod entry;
pub mod ids;
pub mod index;
pub mod membership;
pub mod operation;
pub mod registry;
pub mod rows;
pub mod search;
pub mod series;
pub mod store;
pub mod sync;
pub mod ticket;
pub mod trace;
pub mod vector;
