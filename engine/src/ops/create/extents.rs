//! The extents of one file, in order, though its spans are done in any order. What is in order goes into the content list at once, so that
//! only spans that wait for one before them are in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::compress::Compression;
use crate::error::{Error, Result};
use crate::format::list::Extent;
use crate::meta::Content;
use crate::ops::content::ListWriter;
use crate::ops::create::run::Run;
use crate::ops::create::span::{Span, SpanPiece};
use crate::ops::create::window::Window;
use crate::sync::{lock, try_lock};

/// What a file is made of, as far as it has been read.
#[derive(Debug)]
pub(super) struct Extents {
    spans: Mutex<Spans>,
    list: Mutex<ListWriter>,
}

/// Spans that are not in the list yet: `None` is not done.
#[derive(Debug, Default)]
struct Spans {
    /// The number of the first one.
    first: usize,
    waiting: VecDeque<Option<Vec<Extent>>>,
}

impl Spans {
    fn take_first(&mut self) -> Option<Vec<Extent>> {
        let extents = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.first += 1;
        Some(extents)
    }

    fn is_first_done(&self) -> bool {
        self.waiting.front().is_some_and(Option::is_some)
    }
}

impl Extents {
    /// None so far.
    pub(super) fn new(run: &Run<'_>) -> Self {
        Self { spans: Mutex::default(), list: Mutex::new(ListWriter::new(run.repository.profile().list_split)) }
    }

    /// The number of the next span; its extents come with [`Self::fill`].
    fn reserve(&self) -> usize {
        let mut spans = lock(&self.spans);
        spans.waiting.push_back(None);
        spans.first + spans.waiting.len() - 1
    }

    /// Adds a hole behind the last span.
    pub(super) fn push_hole(&self, run: &Run<'_>, length: u64) -> Result<()> {
        let number = self.reserve();
        self.fill(run, number, vec![Extent::Hole(length)])
    }

    /// The next span: these pieces of a window.
    pub(super) fn span(&self, window: &Arc<Window>, pieces: Vec<SpanPiece>, compression: Compression) -> Span {
        Span { compression, window: Arc::clone(window), pieces, number: self.reserve() }
    }

    /// Stores what is new of a span.
    pub(super) fn store(&self, run: &Run<'_>, span: &Span) -> Result<()> {
        let mut builder = run.packer.builder(span.compression);
        let extents = span.pieces.iter().map(|piece| {
            let (start, end) = match *piece {
                SpanPiece::Chunk(start, end) => (start, end),
                SpanPiece::Zeros(length) => return Ok(Extent::Zeros(length)),
            };
            let bytes = span.window.bytes().get(start..end).unwrap_or_default();
            let length = u32::try_from(bytes.len()).map_err(|_| Error::Internal("a chunk of 4 GiB".to_owned()))?;
            Ok(Extent::Chunk { id: run.put_chunk(&mut builder, bytes)?, length })
        });
        let extents = extents.collect::<Result<Vec<_>>>();
        run.packer.give_back(builder);
        self.fill(run, span.number, extents?)
    }

    /// A span is done.
    fn fill(&self, run: &Run<'_>, number: usize, extents: Vec<Extent>) -> Result<()> {
        {
            let mut spans = lock(&self.spans);
            let at = number.checked_sub(spans.first);
            let place = at.and_then(|at| spans.waiting.get_mut(at)).filter(|place| place.is_none());
            *place.ok_or_else(|| Error::Internal("a span without a place".to_owned()))? = Some(extents);
        }
        // Whoever has the list takes this span along, or looks again when it has let go: nobody waits.
        while lock(&self.spans).is_first_done() {
            let Some(mut list) = try_lock(&self.list) else { break };
            self.drain(run, &mut list)?;
        }
        Ok(())
    }

    fn drain(&self, run: &Run<'_>, list: &mut ListWriter) -> Result<()> {
        loop {
            // Not while the lock is held that others need to say that they are done.
            let Some(extents) = lock(&self.spans).take_first() else { return Ok(()) };
            for extent in extents {
                list.push(extent, &mut |bytes| run.put_meta(bytes))?;
            }
        }
    }

    /// All spans are done: the file's size, and what a node says of its content.
    pub(super) fn finish(&self, run: &Run<'_>) -> Result<(u64, Content)> {
        let mut list = lock(&self.list);
        self.drain(run, &mut list)?;
        if !lock(&self.spans).waiting.is_empty() {
            return Err(Error::Internal("a file whose spans are not all done".to_owned()));
        }
        let list = std::mem::replace(&mut *list, ListWriter::new(run.repository.profile().list_split));
        Ok((list.size(), list.finish(&mut |bytes| run.put_meta(bytes))?))
    }
}
