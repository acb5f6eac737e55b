//! MR signal: sequences, extended phase graphs, isochromats, and the exact matching of fingerprints.

pub mod bloch;
pub mod epg;
pub mod matching;
pub mod program;
