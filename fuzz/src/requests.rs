//! What users write after options: read without a panic, and shown in words that read back the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use vault_engine::chunker::ChunkerRequest;
use vault_engine::compress::Compression;
use vault_engine::ops::create::FilesCache;
use vault_engine::retention::Interval;

/// Reads the bytes as each kind of request.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    reads_back::<Compression>(&text);
    reads_back::<ChunkerRequest>(&text);
    reads_back::<Interval>(&text);
    match text.parse::<FilesCache>() {
        Ok(mode) => assert_eq!(mode == FilesCache::Disabled, text == "disabled"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn reads_back<T>(text: &str)
where
    T: FromStr + Display + Debug + PartialEq,
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(value) => assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "shown in other words"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
