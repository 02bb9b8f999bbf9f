//! `vault benchmark`.

use std::time::Duration;

use anyhow::Result;
use vault_engine::ops::benchmark::{self, BenchmarkOptions, BenchmarkReport, DataReport, Place, PlaceReport};
use vault_engine::store::Store;

use crate::args::BenchmarkArgs;
use crate::exit::{Exit, usage};
use crate::json::{BenchmarkJson, RepositoryJson};
use crate::out::{self, Out};
use crate::progress::{Console, Show};
use crate::render;
use crate::session::{self, Caller};

/// Measures this host, and the place of a repository that is named.
pub(super) fn run(caller: Caller<'_>, args: &BenchmarkArgs) -> Result<Exit> {
    if caller.common.key_file.is_some() {
        return Err(usage("benchmark opens no key slot: leave --key-file out"));
    }
    let place = caller.place(None)?;
    let console = Console::new(Show::QUIET, caller.signals);
    let options = BenchmarkOptions::default();
    // The default repository is nobody's choice of a disk.
    let (repository, report) = if place.embedded {
        (None, benchmark::benchmark(&options, None, &console)?)
    } else {
        let store = session::local_store(&place)?;
        let probe = session::probe(&place, &store)?;
        let scratch = store.scratch()?;
        let place = Place { store: &store, scratch: scratch.store() };
        let report = benchmark::benchmark(&options, Some(place), &console)?;
        (Some(RepositoryJson::probed(&probe, store.describe())), report)
    };
    drop(console);
    out::ended(print(repository, &report, args.json), Exit::Success)
}

fn print(repository: Option<RepositoryJson>, report: &BenchmarkReport, json: bool) -> Result<()> {
    let mut out = Out::new();
    if json {
        out.json(&BenchmarkJson::of(repository, report))?;
    } else {
        lines(report).iter().try_for_each(|line| out.line(line))?;
    }
    out.finish()
}

fn lines(report: &BenchmarkReport) -> Vec<String> {
    let mut lines = stages(&report.data);
    lines.push(String::new());
    lines.extend(codecs(&report.data));
    lines.push(String::new());
    lines.push(format!("key from a passphrase  {}", time(report.key_derivation)));
    if let Some(place) = &report.place {
        lines.push(String::new());
        lines.extend(of_place(place));
    }
    lines
}

/// A number of one kind of data.
type Number = fn(&DataReport) -> u64;

/// A line a stage, a column a kind of data.
fn stages(data: &[DataReport]) -> Vec<String> {
    let stages: [(&str, Number); 4] =
        [("cut", |data| data.cut), ("id", |data| data.id), ("seal", |data| data.seal), ("open", |data| data.open)];
    let head = std::iter::once("ONE CORE".to_owned()).chain(data.iter().map(|data| data.name.to_uppercase()));
    let rows = stages.iter().map(|(name, number)| {
        std::iter::once((*name).to_owned()).chain(data.iter().map(|data| speed(number(data)))).collect()
    });
    render::table(std::iter::once(head.collect()).chain(rows).collect(), &[1, 2, 3])
}

/// A line a setting of `-C` and kind of data.
fn codecs(data: &[DataReport]) -> Vec<String> {
    let head = ["COMPRESSION", "DATA", "RATIO", "COMPRESS", "DECOMPRESS"].map(str::to_owned).to_vec();
    let rows = data.iter().flat_map(|data| {
        data.codecs.iter().map(|codec| {
            vec![
                codec.compression.to_string(),
                data.name.to_owned(),
                format!("{:.2}", codec.ratio),
                speed(codec.compress),
                codec.decompress.map_or_else(|| "-".to_owned(), speed),
            ]
        })
    });
    render::table(std::iter::once(head).chain(rows).collect(), &[2, 3, 4])
}

fn of_place(place: &PlaceReport) -> Vec<String> {
    let packs = format!("{} of {}", render::count(place.packs, "pack"), render::bytes(place.pack_bytes));
    let rows = [
        (format!("put {packs}"), speed(place.put)),
        ("read them back".to_owned(), speed(place.read)),
        ("put a small file".to_owned(), time(place.put_small)),
        (format!("put one of {} together", place.small_files), time(place.put_small_together)),
        (format!("list {}", render::count(place.listed_files, "file")), time(place.list)),
    ];
    let rows = rows.into_iter().map(|(what, number)| vec![what, number]).collect();
    render::table(rows, &[1])
}

fn speed(bytes: u64) -> String {
    format!("{}/s", render::bytes(bytes))
}

fn time(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::compress::Compression;
    use vault_engine::ops::benchmark::CodecReport;

    #[test]
    fn numbers_stand_in_columns() {
        let codec = CodecReport {
            compression: Compression::Zstd(3),
            compress: 400_000_000,
            decompress: Some(1_500_000_000),
            ratio: 3.456,
        };
        let text = DataReport {
            name: "text",
            bytes: 1 << 20,
            cut: 3_000_000_000,
            id: 1,
            seal: 2,
            open: 3,
            codecs: vec![codec, CodecReport { compression: Compression::Lz4, decompress: None, ratio: 1.0, ..codec }],
        };
        assert_eq!(stages(std::slice::from_ref(&text))[..2], ["ONE CORE       TEXT", "cut       3.00 GB/s"]);
        let expected = [
            "COMPRESSION  DATA  RATIO     COMPRESS  DECOMPRESS",
            "zstd,3       text   3.46  400.00 MB/s   1.50 GB/s",
            "lz4          text   1.00  400.00 MB/s           -",
        ];
        assert_eq!(codecs(&[text]), expected);
        assert_eq!(time(Duration::from_micros(1234)), "1.23 ms");
    }
}
