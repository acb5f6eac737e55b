//! MR signal: sequences, extended phase graphs, isochromats, and the exact matching of fingerprints.

mod atoms;
pub mod bloch;
pub mod epg;
pub mod matching;
pub mod program;
