//! Standard input as a file of the archive: a dump that never touches the disk.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use crate::chunker::Cutter;
use crate::chunker::PieceKind;
use crate::clock;
use crate::error::{Error, Result};
use crate::format::list::Extent;
use crate::meta::{Attributes, Chunking, Node, NodeKind};
use crate::ops::content::ListWriter;
use crate::ops::create::assembly::{Entry, Place};
use crate::ops::create::run::Run;

const WINDOW_BYTES: usize = 8 << 20;

/// Reads a stream to its end.
///
/// # Errors
/// The stream failed: half a dump that looks like a whole one must not be kept, so the whole run ends.
pub(super) fn archive(
    run: &Run<'_>,
    mut input: Box<dyn Read + Send>,
    name: Vec<u8>,
    path: &[u8],
    place: Place,
) -> Result<()> {
    let chunking = match run.options.chunker {
        crate::chunker::ChunkerRequest::Fixed(log2) => Chunking::Fixed(log2),
        crate::chunker::ChunkerRequest::ContentDefined(Some(log2)) => Chunking::ContentDefined(log2),
        crate::chunker::ChunkerRequest::ContentDefined(None) | crate::chunker::ChunkerRequest::Auto => {
            Chunking::ContentDefined(run.repository.profile().cdc_log2)
        }
    };
    let mut cutter = Cutter::new(run.repository.gear(), chunking).map_err(|error| Error::Usage(error.to_string()))?;
    let mut list = ListWriter::new(run.repository.profile().list_split);
    let mut carried: Vec<u8> = Vec::new();
    let mut offset = 0u64;
    loop {
        let carry = carried.len();
        let mut window = run.windows.take(carry + WINDOW_BYTES);
        let (front, space) = window.bytes_mut().split_at_mut_checked(carry).unwrap_or_default();
        front.copy_from_slice(&carried);
        let space = space.get_mut(..WINDOW_BYTES).unwrap_or_default();
        let got = read_full(run, &mut input, space)?;
        let is_last = got < WINDOW_BYTES;
        let window = Arc::new(window);
        let bytes = window.bytes().get(..carry + got).unwrap_or_default();
        let (used, pieces) = cut(&mut cutter, bytes, offset, is_last);
        for extent in store(run, bytes, &pieces)? {
            list.push(extent, &mut |bytes| run.put_meta(bytes))?;
        }
        offset += used as u64;
        carried = bytes.get(used..).unwrap_or_default().to_vec();
        if is_last {
            break;
        }
        if run.stopped() {
            return Ok(());
        }
    }
    let size = list.size();
    let content = list.finish(&mut |bytes| run.put_meta(bytes))?;
    let chunking = if size == 0 { Chunking::None } else { chunking };
    let attributes = Attributes { mode: 0o600, mtime: clock::now(), ..run.own_attributes() };
    let kind = NodeKind::File { size, chunking, content, link: None };
    let node = Node { name, implied: false, changed: false, missing: false, attributes, kind };
    run.count('i', path, &node);
    place.fill(run, Entry { node, xattrs: None, stamp: None, stamps: None })
}

type Pieces = Vec<(PieceKind, usize, usize)>;

fn cut(cutter: &mut Cutter<'_>, bytes: &[u8], offset: u64, is_last: bool) -> (usize, Pieces) {
    let mut pieces = Vec::new();
    let mut used = 0;
    while let Some(piece) = cutter.next(bytes.get(used..).unwrap_or_default(), offset + used as u64, is_last) {
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        pieces.push((piece.kind, used, used + length));
        used += length;
    }
    (used, pieces)
}

/// Stores the pieces of a window on all cores.
fn store(run: &Run<'_>, bytes: &[u8], pieces: &Pieces) -> Result<Vec<Extent>> {
    use rayon::iter::{IndexedParallelIterator, ParallelIterator};
    use rayon::slice::ParallelSlice;
    let spans = pieces.par_chunks(1.max(pieces.len() / 16)).map(|span| {
        let mut builder = run.packer.builder();
        let extents = span.iter().map(|&(kind, start, end)| match kind {
            PieceKind::Zeros => Ok(Extent::Zeros((end - start) as u64)),
            PieceKind::Chunk => {
                let chunk = bytes.get(start..end).unwrap_or_default();
                let length = u32::try_from(chunk.len()).map_err(|_| Error::Internal("a chunk of 4 GiB".to_owned()))?;
                Ok(Extent::Chunk { id: run.put_chunk(&mut builder, chunk)?, length })
            }
        });
        let extents = extents.collect::<Result<Vec<_>>>();
        run.packer.give_back(builder);
        extents
    });
    let stored = run.pool.install(|| spans.with_min_len(1).collect::<Result<Vec<_>>>())?;
    Ok(stored.into_iter().flatten().collect())
}

fn read_full(run: &Run<'_>, input: &mut dyn Read, mut space: &mut [u8]) -> Result<usize> {
    let wanted = space.len();
    while !space.is_empty() {
        match input.read(space) {
            Ok(0) => break,
            Ok(got) => space = space.get_mut(got..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) if run.stopped() => return Err(Error::Interrupted),
            Err(error) => return Err(Error::NoSource(format!("standard input failed: {error}"))),
        }
    }
    Ok(wanted - space.len())
}
