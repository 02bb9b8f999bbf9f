//! What benchmark writes.

use serde::Serialize;
use vault_engine::ops::benchmark::{BenchmarkReport, CodecReport, DataReport, PlaceReport};

use super::RepositoryJson;
use crate::time;

/// `vault benchmark --json`.
#[derive(Debug, Serialize)]
pub(crate) struct BenchmarkJson {
    /// `None` if none was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<RepositoryJson>,
    data: Vec<DataJson>,
    key_derivation: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreJson>,
    duration: f64,
}

#[derive(Debug, Serialize)]
struct DataJson {
    name: &'static str,
    bytes: u64,
    cut: u64,
    id: u64,
    seal: u64,
    open: u64,
    codecs: Vec<CodecJson>,
}

#[derive(Debug, Serialize)]
struct CodecJson {
    compression: String,
    ratio: f64,
    compress: u64,
    /// `None` if nothing became smaller.
    decompress: Option<u64>,
}

#[derive(Debug, Serialize)]
struct StoreJson {
    packs: u64,
    pack_bytes: u64,
    put: u64,
    read: u64,
    small_files: u64,
    put_small: f64,
    put_small_together: f64,
    listed_files: u64,
    list: f64,
}

impl BenchmarkJson {
    /// Of what was measured.
    pub(crate) fn of(repository: Option<RepositoryJson>, report: &BenchmarkReport) -> Self {
        Self {
            repository,
            data: report.data.iter().map(DataJson::of).collect(),
            key_derivation: report.key_derivation.as_secs_f64(),
            store: report.place.as_ref().map(StoreJson::of),
            duration: time::seconds(report.duration),
        }
    }
}

impl DataJson {
    fn of(data: &DataReport) -> Self {
        let DataReport { name, bytes, cut, id, seal, open, .. } = *data;
        Self { name, bytes, cut, id, seal, open, codecs: data.codecs.iter().map(CodecJson::of).collect() }
    }
}

impl CodecJson {
    fn of(codec: &CodecReport) -> Self {
        let CodecReport { compression, compress, decompress, ratio } = *codec;
        Self { compression: compression.to_string(), ratio, compress, decompress }
    }
}

impl StoreJson {
    /// Times are too short for milliseconds.
    fn of(place: &PlaceReport) -> Self {
        Self {
            packs: place.packs,
            pack_bytes: place.pack_bytes,
            put: place.put,
            read: place.read,
            small_files: place.small_files,
            put_small: place.put_small.as_secs_f64(),
            put_small_together: place.put_small_together.as_secs_f64(),
            listed_files: place.listed_files,
            list: place.list.as_secs_f64(),
        }
    }
}
