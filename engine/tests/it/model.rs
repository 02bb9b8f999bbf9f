//! The protocol of docs/gc.md as a model that is searched exhaustively: every interleaving, every crash, every pause.

mod compaction;
mod machine;
mod mutations;
mod people;
mod promises;
mod rules;
mod scenarios;
mod search;
mod suite;
mod world;
mod writer;
