//! Standard input as a file of the archive: a dump that never touches the disk.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::Scope;

use crate::chunker::Cutter;
use crate::clock;
use crate::error::{Error, Result};
use crate::meta::{Attributes, Chunking, Node, NodeKind};
use crate::ops::create::assembly::{Entry, Place};
use crate::ops::create::extents::Extents;
use crate::ops::create::file::WINDOW_BYTES;
use crate::ops::create::run::Run;
use crate::ops::create::span::{Span, cut};
use crate::ops::create::window::Window;

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
    let extents = Extents::new(run);
    run.pool.in_place_scope(|scope| read(run, scope, &extents, &mut cutter, &mut input))?;
    if run.stopped() {
        return Ok(());
    }
    let (size, content) = extents.finish(run)?;
    let chunking = if size == 0 { Chunking::None } else { chunking };
    let attributes = Attributes { mode: 0o600, mtime: clock::now(), ..run.own_attributes() };
    let kind = NodeKind::File { size, chunking, content, link: None };
    let node = Node { name, implied: false, changed: false, missing: false, attributes, kind };
    run.count('i', path, &node);
    place.fill(run, Entry { node, xattrs: None, stamp: None, stamps: None })
}

/// Reads and cuts on this thread, while what was read before is worked on by the others.
fn read<'s>(
    run: &'s Run<'_>,
    scope: &Scope<'s>,
    extents: &'s Extents,
    cutter: &mut Cutter<'_>,
    input: &mut dyn Read,
) -> Result<()> {
    let mut carried: Option<(Arc<Window>, Range<usize>)> = None;
    let mut offset = 0;
    while !run.stopped() {
        let carry = carried.as_ref().map_or(0, |(_, range)| range.len());
        let wanted = WINDOW_BYTES - carry.min(WINDOW_BYTES / 2);
        let mut window = run.windows.take(carry + wanted);
        let (front, space) = window.bytes_mut().split_at_mut_checked(carry).unwrap_or_default();
        if let Some((before, range)) = carried.take() {
            front.copy_from_slice(before.bytes().get(range).unwrap_or_default());
        }
        let got = read_full(run, input, space.get_mut(..wanted).unwrap_or_default())?;
        let (filled, is_last) = (carry + got, got < wanted);
        let window = Arc::new(window);
        let bytes = window.bytes().get(..filled).unwrap_or_default();
        let used = cut(cutter, bytes, offset, is_last, |pieces| {
            hand_out(run, scope, extents, extents.span(&window, pieces, run.packer.compression()))
        })?;
        if is_last {
            break;
        }
        offset += used as u64;
        carried = Some((window, used..filled));
    }
    Ok(())
}

/// Gives a span to the workers, unless they have enough: then whoever writes the stream waits until this one is done here.
fn hand_out<'s>(run: &'s Run<'_>, scope: &Scope<'s>, extents: &'s Extents, span: Span) -> Result<()> {
    if run.spans_waiting.load(Ordering::Relaxed) >= 2 * run.pool.current_num_threads() {
        return extents.store(run, &span);
    }
    run.spans_waiting.fetch_add(1, Ordering::Relaxed);
    scope.spawn(move |_| {
        run.spans_waiting.fetch_sub(1, Ordering::Relaxed);
        if !run.stopped()
            && let Err(error) = extents.store(run, &span)
        {
            run.fail(error);
        }
    });
    Ok(())
}

/// Reads until the space is full or the stream ends. A reader that says [`ErrorKind::WouldBlock`] is asked again: it has been silent for a
/// while, and the run may have failed meanwhile.
fn read_full(run: &Run<'_>, input: &mut dyn Read, mut space: &mut [u8]) -> Result<usize> {
    let wanted = space.len();
    while !space.is_empty() && !run.stopped() {
        match input.read(space) {
            Ok(0) => break,
            Ok(got) => space = space.get_mut(got..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(_) if run.stopped() => return Err(Error::Interrupted),
            Err(error) => return Err(Error::NoSource(format!("standard input failed: {error}"))),
        }
    }
    Ok(wanted - space.len())
}
