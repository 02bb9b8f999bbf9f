//! The stages of `create` and `restore`, one core, at the settings that ship: what the sum of the unavoidable work is.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use criterion::{BatchSize, Criterion, Throughput};
use vault_benches::content::Contents;
use vault_engine::chunker::{Cutter, Gear};
use vault_engine::compress::{Codec, Compression, DEFAULT_LEVEL, compress, decompress};
use vault_engine::crypto::{KeyRing, Purpose, SecretKey};
use vault_engine::format::block::{BlockContent, BlockKind, Entry, compress_block, open_block};
use vault_engine::format::config::Profile;
use vault_engine::format::file::{Class, FileCipher};
use vault_engine::id::DomainId;
use vault_engine::meta::Chunking;

const BLOCK: usize = 512 << 10;
const CHUNK: usize = 1 << 20;
const EXTENT: usize = 32 << 20;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let ring = KeyRing::new(DomainId::from_bytes([1; 32]), SecretKey::new([2; 32]));
    cut(&mut criterion)?;
    ids(&mut criterion, &ring);
    codecs(&mut criterion)?;
    seals(&mut criterion, &ring)?;
    criterion.final_summary();
    Ok(())
}

fn cut(criterion: &mut Criterion) -> Result<()> {
    let gear = Gear::from_key(&[7; 32]);
    let profile = Profile::default();
    let extent = Contents::new(1).noise(EXTENT);
    let mut group = criterion.benchmark_group("cut");
    group.throughput(Throughput::Bytes(EXTENT as u64));
    for (name, chunking) in
        [("content-defined", Chunking::ContentDefined(profile.cdc_log2)), ("pages", Chunking::Fixed(profile.page_log2))]
    {
        Cutter::new(&gear, chunking)?;
        group.bench_function(name, |bencher| bencher.iter(|| pieces(&gear, chunking, black_box(&extent))));
    }
    group.finish();
    Ok(())
}

fn pieces(gear: &Gear, chunking: Chunking, extent: &[u8]) -> usize {
    let Ok(mut cutter) = Cutter::new(gear, chunking) else { return 0 };
    let (mut count, mut window, mut offset) = (0, extent, 0);
    while let Some(piece) = cutter.next(window, offset, true) {
        offset += piece.length;
        window = usize::try_from(piece.length).ok().and_then(|length| window.get(length..)).unwrap_or_default();
        count += 1;
    }
    count
}

fn ids(criterion: &mut Criterion, ring: &KeyRing) {
    let mut contents = Contents::new(2);
    let mut group = criterion.benchmark_group("id");
    for (name, length) in [("chunk", CHUNK), ("page", 8 << 10), ("small file", 1000)] {
        let object = contents.noise(length);
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(name, |bencher| bencher.iter(|| ring.object_id(Purpose::Data, black_box(&object))));
    }
    group.finish();
    criterion
        .bench_function("name hash", |bencher| bencher.iter(|| ring.name_hash(black_box(b"a-name-of-a-file.json"))));
}

fn codecs(criterion: &mut Criterion) -> Result<()> {
    let mut contents = Contents::new(3);
    let shipped = Compression::default();
    let zstd = Compression::Zstd(DEFAULT_LEVEL);
    let cases = [
        ("text zstd", contents.text(BLOCK), zstd),
        ("text default", contents.text(BLOCK), shipped),
        ("mixed zstd", contents.mixed(BLOCK), zstd),
        ("mixed default", contents.mixed(BLOCK), shipped),
        ("text lz4", contents.text(BLOCK), Compression::Lz4),
        ("vectors default", contents.vectors(BLOCK), shipped),
        ("noise default", contents.noise(BLOCK), shipped),
        ("noise zstd", contents.noise(BLOCK), zstd),
    ];
    let mut group = criterion.benchmark_group("compress");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for (name, plain, setting) in &cases {
        let mut out = Vec::with_capacity(2 * BLOCK);
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                out.clear();
                compress(*setting, black_box(plain), &mut out)
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for (name, plain, setting) in &cases {
        let mut stored = Vec::new();
        let how = compress(*setting, plain, &mut stored);
        if how.codec == Codec::None {
            continue;
        }
        let mut back = vec![0; plain.len()];
        decompress(how.codec, &stored, &mut back)?;
        ensure!(back == *plain, "{name}: other bytes came back");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| decompress(how.codec, black_box(&stored), &mut back));
        });
    }
    group.finish();
    Ok(())
}

/// Blocks as packs hold them: stored as they are, so that sealing is all that is measured, and one that is compressed.
fn seals(criterion: &mut Criterion, ring: &KeyRing) -> Result<()> {
    let mut contents = Contents::new(4);
    let large = contents.noise(CHUNK);
    let pages = contents.noise(BLOCK);
    let text = contents.text(BLOCK);
    let cases = [
        ("one large chunk", large.as_slice(), CHUNK, Compression::None),
        ("64 pages", pages.as_slice(), 8 << 10, Compression::None),
        ("64 compressed pages", text.as_slice(), 8 << 10, Compression::Zstd(3)),
    ];
    for (name, plain, object, setting) in cases {
        let entries: Vec<Entry> = plain.chunks(object).filter_map(|object| entry(ring, object)).collect();
        let content = BlockContent { entries: &entries, plain };

        let mut group = criterion.benchmark_group("seal");
        group.throughput(Throughput::Bytes(plain.len() as u64));
        let pack = FileCipher::create(ring, Class::Data, [0; 16])?;
        group.bench_function(name, |bencher| {
            let compressed = || compress_block(&content, setting);
            bencher.iter_batched(
                compressed,
                |block| block.and_then(|block| block.seal(&pack, 0, BlockKind::Objects)),
                BatchSize::LargeInput,
            );
        });
        group.finish();
        let sealed = compress_block(&content, setting)?.seal(&pack, 0, BlockKind::Objects)?;
        let bytes = [sealed.head, sealed.body].concat();
        open_block(ring, &pack, Purpose::Data, &mut bytes.clone()).context("our own block")?;
        let mut group = criterion.benchmark_group("open, decompress and check ids");
        group.throughput(Throughput::Bytes(plain.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || bytes.clone(),
                |mut bytes| open_block(ring, &pack, Purpose::Data, &mut bytes),
                BatchSize::LargeInput,
            );
        });
        group.finish();
    }
    Ok(())
}

fn entry(ring: &KeyRing, object: &[u8]) -> Option<Entry> {
    Some(Entry { id: ring.object_id(Purpose::Data, object), length: u32::try_from(object.len()).ok()? })
}
