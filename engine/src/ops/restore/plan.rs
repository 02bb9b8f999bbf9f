//! Files to be written, as pieces of blocks: sorted by pack and offset, every block is opened once and its pieces written in parallel.
//!
//! A plan is bounded: it is written when it holds so many pieces or files, in the midst of a file if need be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::crypto::Purpose;
use crate::error::{Error, FileError, Result};
use crate::format::block::OpenBlock;
use crate::format::list::Extent;
use crate::id::{ObjectId, PackId};
use crate::meta::{Content, Node, NodeKind};
use crate::ops::content::{InList, walk_list};
use crate::ops::restore::{Context, split};
use crate::repository::Location;
use crate::source::{Subject, TargetFile};
use crate::sync::lock;

/// A plan is written when it holds so many pieces …
const PLAN_PIECES: usize = 65_536;
/// … or so many files …
const PLAN_FILES: usize = 16_384;
/// … or so many files whose pieces lie in several blocks: those are open at the same time.
const PLAN_OPEN_FILES: usize = 128;

/// What became of a file, for its other hard links to know.
#[derive(Debug, Default)]
pub(super) struct Fate {
    failed: AtomicBool,
    lost: AtomicBool,
}

impl Fate {
    /// It could not be written.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether it could not be written.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether the repository no longer has its content.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

/// A file that is being written, and its temporary name if it is to replace another.
type OpenFile = (Option<Vec<u8>>, Arc<TargetFile>);

/// A file that is being restored.
struct Task {
    node: Node,
    size: u64,
    /// Path in the target.
    path: Arc<[u8]>,
    archive_path: Vec<u8>,
    /// Something has its name: it is written beside it and renamed.
    replaces: bool,
    file: Mutex<Option<OpenFile>>,
    /// Pieces that are not written, and one for the planning itself.
    waiting: AtomicUsize,
    fate: Arc<Fate>,
    /// Runs of zeros that are to be allocated, and whether the file has holes besides.
    zeros: Mutex<(Vec<(u64, u64)>, bool)>,
}

/// Where bytes of a file come from.
#[derive(Clone)]
struct Piece {
    pack: PackId,
    offset: u32,
    body_length: u32,
    position: u32,
    id: ObjectId,
    task: Arc<Task>,
    at: u64,
    length: u64,
}

/// What is to be written.
pub(super) struct Plan<'a> {
    context: &'a Context<'a>,
    pieces: Vec<Piece>,
    /// Files without pieces.
    empty: Vec<Arc<Task>>,
    files: usize,
    open_files: usize,
    /// Files that have been created and are not complete.
    unfinished: Mutex<HashMap<usize, Arc<Task>>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        Self { context, pieces: Vec::new(), empty: Vec::new(), files: 0, open_files: 0, unfinished: Mutex::default() }
    }

    /// Whether it should be written now.
    pub(super) fn is_full(&self) -> bool {
        self.pieces.len() >= PLAN_PIECES || self.files >= PLAN_FILES || self.open_files >= PLAN_OPEN_FILES
    }

    /// Plans a file.
    pub(super) fn file(
        &mut self,
        node: Node,
        path: Arc<[u8]>,
        archive_path: Vec<u8>,
        replaces: bool,
        fate: Arc<Fate>,
    ) -> Result<()> {
        let NodeKind::File { size, content, .. } = node.kind else { return Ok(()) };
        let task = Arc::new(Task {
            node,
            size,
            path,
            archive_path,
            replaces,
            file: Mutex::new(None),
            waiting: AtomicUsize::new(1),
            fate,
            zeros: Mutex::default(),
        });
        self.files += 1;
        let planned = match content {
            Content::Empty | Content::Missing => Ok(()),
            Content::Chunk(id) => self.piece(&task, id, 0, size),
            Content::List(list) => {
                self.open_files += 1;
                self.list(&task, list)
            }
        };
        match planned {
            Ok(()) => {}
            Err(error @ (Error::Damaged { .. } | Error::ObjectMissing { .. } | Error::Store(_))) => {
                self.lose(&task, &error);
            }
            Err(error) => return Err(error),
        }
        // Planning is done: whoever is last finishes the file; without pieces that is the plan.
        if task.waiting.load(Ordering::Acquire) == 1 {
            self.empty.push(task);
            return Ok(());
        }
        self.release(&task)
    }

    fn list(&mut self, task: &Arc<Task>, list: ObjectId) -> Result<()> {
        let mut at = 0u64;
        let reader = self.context.reader;
        walk_list(reader, list, &mut |met| {
            let InList::Extent(extent) = met else { return Ok(()) };
            let length = extent.length();
            let end =
                at.checked_add(length).filter(|end| *end <= task.size).ok_or_else(|| disagrees(list, task.size))?;
            match extent {
                Extent::Chunk { id, .. } => {
                    self.piece(task, id, at, length)?;
                    if self.pieces.len() >= PLAN_PIECES {
                        self.write()?;
                    }
                }
                Extent::Zeros(_) if !self.context.options.sparse => lock(&task.zeros).0.push((at, length)),
                Extent::Zeros(_) | Extent::Hole(_) => lock(&task.zeros).1 = true,
            }
            at = end;
            Ok(())
        })?;
        if at == task.size { Ok(()) } else { Err(disagrees(list, task.size)) }
    }

    fn piece(&mut self, task: &Arc<Task>, id: ObjectId, at: u64, length: u64) -> Result<()> {
        let Location { pack, offset, body_length, position } = self.context.reader.locate(&id)?;
        task.waiting.fetch_add(1, Ordering::Relaxed);
        self.pieces.push(Piece { pack, offset, body_length, position, id, task: Arc::clone(task), at, length });
        Ok(())
    }

    /// Writes all that is planned.
    pub(super) fn write(&mut self) -> Result<()> {
        let mut pieces = std::mem::take(&mut self.pieces);
        let empty = std::mem::take(&mut self.empty);
        self.files = 0;
        self.open_files = 0;
        pieces.sort_by_key(|a| (a.pack, a.offset, a.position, a.at));
        let blocks: Vec<&[Piece]> = pieces.chunk_by(|a, b| (a.pack, a.offset) == (b.pack, b.offset)).collect();
        self.context.pool.install(|| {
            blocks.into_par_iter().try_for_each(|pieces| self.block(pieces))?;
            empty.into_par_iter().try_for_each(|task| self.release(&task))
        })
    }

    /// Writes everything that one block holds.
    fn block(&self, pieces: &[Piece]) -> Result<()> {
        if self.context.report.cancelled() {
            return Err(Error::Interrupted);
        }
        let Some(first) = pieces.first() else { return Ok(()) };
        let location = Location {
            pack: first.pack,
            offset: first.offset,
            body_length: first.body_length,
            position: first.position,
        };
        match self.context.reader.block(Purpose::Data, &location) {
            Ok(block) => {
                let starts = block.starts();
                self.pieces_of(&block, &starts, pieces)
            }
            // Moved by a compaction, or damaged: every object is looked for by itself.
            Err(Error::Damaged { .. } | Error::Store(_)) => pieces.iter().try_for_each(|piece| self.elsewhere(piece)),
            Err(error) => Err(error),
        }
    }

    /// Writes runs of pieces that are neighbours in the block and in the file with one call.
    fn pieces_of(&self, block: &OpenBlock, starts: &[usize], pieces: &[Piece]) -> Result<()> {
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            let mut end = first.at + first.length;
            let mut position = first.position;
            let joined = rest.iter().skip(1).take_while(|next| {
                let joins = Arc::ptr_eq(&next.task, &first.task) && next.at == end && next.position == position + 1;
                (end, position) = (end + next.length, position + 1);
                joins
            });
            let count = 1 + joined.count();
            let (run, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = behind;
            self.run(block, starts, run)?;
        }
        Ok(())
    }

    fn run(&self, block: &OpenBlock, starts: &[usize], run: &[Piece]) -> Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let sound = run.iter().all(|piece| {
            block
                .entries
                .get(piece.position as usize)
                .is_some_and(|entry| entry.id == piece.id && u64::from(entry.length) == piece.length)
        });
        let start = starts.get(first.position as usize);
        let end = starts.get(last.position as usize + 1);
        match start.zip(end).and_then(|(&start, &end)| block.plain.get(start..end)) {
            Some(bytes) if sound => self.put(&first.task, bytes, first.at)?,
            _ => {
                let problem = "a block holds other objects than the index and the file's content list say".to_owned();
                self.lose(&first.task, &Error::Damaged { file: format!("packs/{}", first.pack.to_hex()), problem });
            }
        }
        run.iter().try_for_each(|piece| self.release(&piece.task))
    }

    fn elsewhere(&self, piece: &Piece) -> Result<()> {
        match self.context.reader.object(Purpose::Data, &piece.id) {
            Ok(bytes) if bytes.len() as u64 == piece.length => self.put(&piece.task, &bytes, piece.at)?,
            Ok(_) => {
                let problem = "it has another length than the file's content list says".to_owned();
                self.lose(&piece.task, &Error::Damaged { file: format!("object {}", piece.id.to_hex()), problem });
            }
            Err(error @ (Error::Damaged { .. } | Error::ObjectMissing { .. } | Error::Store(_))) => {
                self.lose(&piece.task, &error);
            }
            Err(error) => return Err(error),
        }
        self.release(&piece.task)
    }

    /// Writes bytes of a file, which is created by the first of them.
    fn put(&self, task: &Arc<Task>, bytes: &[u8], at: u64) -> Result<()> {
        if task.fate.has_failed() {
            return Ok(());
        }
        let written = self.open(task).and_then(|file| file.write_at(bytes, at));
        written.or_else(|error| self.fail(task, &error))
    }

    fn open(&self, task: &Arc<Task>) -> Result<Arc<TargetFile>, FileError> {
        let mut file = lock(&task.file);
        if let Some((_, file)) = &*file {
            return Ok(Arc::clone(file));
        }
        let (parent, name) = split(&task.path);
        let missing = || {
            FileError::new(
                "open",
                String::from_utf8_lossy(parent).as_ref(),
                std::io::Error::other("a dry run has no target"),
            )
        };
        let directory = self.context.target.ok_or_else(missing)?.directory(parent)?;
        let (temporary, opened) = if task.replaces {
            let (temporary, file) = directory.create_beside(name)?;
            (Some(temporary), file)
        } else {
            (None, directory.create_file(name)?)
        };
        if task.node.attributes.file_flags != 0 {
            opened.prepare(task.node.attributes.file_flags);
        }
        let opened = Arc::new(opened);
        *file = Some((temporary, Arc::clone(&opened)));
        lock(&self.unfinished).insert(key_of(task), Arc::clone(task));
        Ok(opened)
    }

    /// The file cannot be written.
    fn fail(&self, task: &Task, error: &FileError) -> Result<()> {
        if task.fate.failed.swap(true, Ordering::Relaxed) {
            Ok(())
        } else {
            self.context.report.file_error(&task.archive_path, error)
        }
    }

    /// The repository does not have what the file needs.
    fn lose(&self, task: &Task, error: &Error) {
        task.fate.lost.store(true, Ordering::Relaxed);
        if !task.fate.failed.swap(true, Ordering::Relaxed) {
            self.context.report.damaged(&task.archive_path, &format!("its content is lost: {error}"));
        }
    }

    /// Lets go of one claim; the last one finishes the file.
    fn release(&self, task: &Arc<Task>) -> Result<()> {
        if task.waiting.fetch_sub(1, Ordering::AcqRel) != 1 {
            return Ok(());
        }
        let finished = if task.fate.has_failed() { self.discard(task) } else { self.finish(task) };
        lock(&self.unfinished).remove(&key_of(task));
        finished.or_else(|error| {
            // Without its length, its zeros or its name it is not the file.
            let _ = self.discard(task);
            self.fail(task, &error)
        })
    }

    /// Holes, zeros, attributes, name.
    fn finish(&self, task: &Arc<Task>) -> Result<(), FileError> {
        let file = self.open(task)?;
        let (zeros, holes) = std::mem::take(&mut *lock(&task.zeros));
        for (at, length) in zeros {
            file.allocate_zeros(at, length, holes)?;
        }
        if holes {
            file.set_length(task.size)?;
        }
        self.context.apply(Subject::File(&file), &task.node, &task.archive_path);
        if let Some((Some(temporary), file)) = lock(&task.file).take() {
            let (parent, name) = split(&task.path);
            // The old file is gone when the new one has its name: its bytes must be on the disk before.
            file.sync()?;
            if let Some(target) = self.context.target {
                target.directory(parent)?.rename_over(&temporary, name)?;
            }
        }
        self.context.report.made(&task.archive_path, task.size);
        Ok(())
    }

    /// Removes what was written of a file that cannot be completed.
    fn discard(&self, task: &Task) -> Result<(), FileError> {
        let Some((temporary, file)) = lock(&task.file).take() else { return Ok(()) };
        drop(file);
        let (parent, name) = split(&task.path);
        match self.context.target {
            Some(target) => target.directory(parent)?.remove(temporary.as_deref().unwrap_or(name)),
            None => Ok(()),
        }
    }
}

/// A run that ends early leaves no half of a file behind.
impl Drop for Plan<'_> {
    fn drop(&mut self) {
        for task in std::mem::take(&mut *lock(&self.unfinished)).into_values() {
            let _ = self.discard(&task);
        }
    }
}

fn disagrees(list: ObjectId, size: u64) -> Error {
    let problem = format!("it does not cover the {size} bytes of the file");
    Error::Damaged { file: format!("content list {}", list.to_hex()), problem }
}

fn key_of(task: &Arc<Task>) -> usize {
    Arc::as_ptr(task).addr()
}
