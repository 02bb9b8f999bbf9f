//! `vault-engine`: deduplicating, compressing, encrypted archives in a repository of immutable files.
//!
//! Layers, each importing only those above it in this list: `id error codec memory meta progress clock process sync sys simulation` ·
//! `chunker compress crypto pattern retention` · `format store source` · `repository` · `ops`. See docs/ARCHITECTURE.md.

pub mod chunker;
pub mod clock;
pub mod codec;
pub mod compress;
pub mod crypto;
pub mod error;
pub mod format;
pub mod id;
pub mod memory;
pub mod meta;
pub mod ops;
pub mod pattern;
pub mod process;
pub mod progress;
pub mod repository;
pub mod retention;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub mod simulation;
pub mod source;
pub mod store;
mod sync;
mod sys;

pub use error::{Error, Result};
