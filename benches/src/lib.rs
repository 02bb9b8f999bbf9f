//! Measuring: bytes like those that people archive, and vault beside other archivers on them (docs/performance.md).

pub mod compare;
pub mod content;
pub mod data;
pub mod measure;
pub mod pages;
pub mod random;
pub mod report;
pub mod tools;
