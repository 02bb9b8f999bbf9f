//! Archives walked from their roots: whether everything that they refer to exists, and whom a loss harms.

use std::collections::{HashMap, HashSet};

use super::{CheckReport, Lost, REPAIR, Seen, Severity};
use crate::crypto::Purpose;
use crate::error::{Error, Result};
use crate::format::DEPTH;
use crate::format::list::Extent;
use crate::format::node::XattrsId;
use crate::format::references::{ObjectKind, references};
use crate::id::{ArchiveId, ObjectId};
use crate::meta::{Content, Node, NodeKind};
use crate::ops::content::{InList, walk_list};
use crate::ops::walk::{Entries, push_name};
use crate::progress::{Counters, Monitor};
use crate::repository::{Archive, Reader};

/// Paths that a finding names at most; the number of all is said.
const NAMED_PATHS: usize = 1000;
/// Paths that are harmed in one archive until equal subtrees are no longer walked each time they occur: a few trees that name each other
/// can stand for more paths than there is time.
const MOST_HARMS: usize = 100_000;

/// What is made of a tree or a list that the store fails to read, which says nothing of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// A finding, as of one that is damaged.
    IsFound,
    /// It ends the walk: what is below it is not known to be there, and it is not known to be lost.
    EndsAll,
}

struct Trace<'a> {
    reader: &'a Reader<'a>,
    monitor: &'a dyn Monitor,
    report: &'a mut CheckReport,
    lost: &'a Lost,
    unread: Unread,
    /// Trees and stamps below which nothing is wrong.
    sound: Seen,
    /// Content lists in which nothing is wrong, and how much of a file they cover.
    sound_lists: HashMap<ObjectId, u64>,
    /// Findings for objects that no pack was blamed for.
    absent: HashMap<ObjectId, usize>,
    archive: ArchiveId,
    harmed: bool,
    /// Paths that were harmed in this archive.
    harms: usize,
    /// Trees below which something is wrong.
    unsound: HashSet<ObjectId>,
}

/// Walks every archive; equal subtrees that are sound are walked once.
pub(super) fn archives(
    reader: &Reader<'_>,
    archives: &[Archive],
    monitor: &dyn Monitor,
    report: &mut CheckReport,
    lost: &Lost,
    unread: Unread,
) -> Result<()> {
    let mut trace = Trace {
        reader,
        monitor,
        report,
        lost,
        unread,
        sound: Seen::new(),
        sound_lists: HashMap::new(),
        absent: HashMap::new(),
        archive: ArchiveId::zero(),
        harmed: false,
        harms: 0,
        unsound: HashSet::new(),
    };
    for archive in archives {
        if monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        trace.archive(archive)?;
    }
    Ok(())
}

impl Trace<'_> {
    fn archive(&mut self, archive: &Archive) -> Result<()> {
        self.archive = archive.id;
        self.harms = 0;
        let manifest = &archive.manifest;
        for id in [Some(manifest.warnings).filter(|id| !id.is_zero()), manifest.root_xattrs].into_iter().flatten() {
            self.object(Purpose::Meta, id, b"")?;
        }
        self.tree(manifest.root_tree())?;
        self.stamps(manifest.root_stamps)
    }

    /// Stamps hold nothing that a restore writes: what is lost of them costs the next create its knowledge of what is unchanged.
    fn stamps(&mut self, root: ObjectId) -> Result<()> {
        let mut ahead = vec![root];
        while let Some(id) = ahead.pop() {
            if id.is_zero() || !self.sound.insert(id) {
                continue;
            }
            match self.stamp_references(&id) {
                Ok(below) => ahead.extend(below),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => {
                    self.sound.remove(&id);
                    let message = format!(
                        "stamps of archive aid:{} cannot be read: {error}; no file is harmed, but a create that compares with \
                         this archive reads all files again",
                        self.archive
                    );
                    self.report.finding(Severity::Warning, "packs/", Some(id), message);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn stamp_references(&mut self, id: &ObjectId) -> Result<Vec<ObjectId>> {
        let bytes = self.reader.object(Purpose::Meta, id)?;
        self.report.objects += u64::from(self.report.bytes_read == 0);
        let mut below = Vec::new();
        let decoded = references(ObjectKind::Stamps, &bytes, &mut |_, id| below.push(id));
        decoded.map_err(|error| Error::Damaged { file: "stamps".to_owned(), problem: error.to_string() })?;
        Ok(below)
    }

    /// Walks with a stack of its own: each level is a directory that is not finished, with whether anything below it was harmed.
    fn tree(&mut self, root: ObjectId) -> Result<()> {
        let mut levels = vec![Level { entries: Entries::new(root), tree: root, length: 0, harmed: false }];
        let mut path: Vec<u8> = Vec::new();
        while let Some(level) = levels.last_mut() {
            path.truncate(level.length);
            self.harmed = level.harmed;
            let node = self.next(level, &path)?;
            level.harmed = self.harmed;
            let Some((node, xattrs)) = node else {
                let (tree, harmed) = (level.tree, level.harmed);
                levels.pop();
                if harmed {
                    self.unsound.insert(tree);
                } else {
                    self.sound.insert(tree);
                }
                if let Some(above) = levels.last_mut() {
                    above.harmed |= harmed;
                }
                continue;
            };
            push_name(&mut path, &node.name);
            self.node(&node, xattrs, &path)?;
            level.harmed = self.harmed;
            if let NodeKind::Directory { tree } = node.kind
                && !self.sound.contains(&tree)
            {
                if self.harms > MOST_HARMS && self.unsound.contains(&tree) {
                    level.harmed = true;
                    continue;
                }
                if levels.len() >= DEPTH {
                    self.too_deep(&path);
                    if let Some(level) = levels.last_mut() {
                        level.harmed = true;
                    }
                    continue;
                }
                levels.push(Level { entries: Entries::new(tree), tree, length: path.len(), harmed: false });
            }
        }
        Ok(())
    }

    /// Whether the walk cannot go on after this.
    fn ends(&self, error: &Error) -> bool {
        let failed = matches!(error, Error::Store(_) | Error::Local { .. }) && !error.is_loss();
        matches!(error, Error::Interrupted) || failed && self.unread == Unread::EndsAll
    }

    fn too_deep(&mut self, path: &[u8]) {
        let message = "directories deeper than 65,536: no restore goes there";
        self.report.finding(Severity::Error, "packs/", None, message);
        let number = self.report.findings.len() - 1;
        self.harm(number, path);
    }

    /// The next entry; a tree that cannot be had is a finding, and the other parts of its directory are walked.
    fn next(&mut self, level: &mut Level, path: &[u8]) -> Result<Option<(Node, XattrsId)>> {
        loop {
            let mut trees = Vec::new();
            let found = level.entries.next(self.reader, &mut |id| {
                trees.push(id);
                Ok(())
            });
            let mut blamed = false;
            for id in trees {
                blamed |= self.object(Purpose::Meta, id, path)?;
            }
            match found {
                Err(error) if self.ends(&error) => return Err(error),
                Err(_) if blamed => {}
                Err(error) => {
                    let message = format!("a directory cannot be read: {error}; {REPAIR}");
                    self.report.finding(Severity::Error, "packs/", None, message);
                    let number = self.report.findings.len() - 1;
                    self.harm(number, path);
                }
                entry => return entry,
            }
        }
    }

    fn node(&mut self, node: &Node, xattrs: XattrsId, path: &[u8]) -> Result<()> {
        if self.monitor.cancelled() {
            return Err(Error::Interrupted);
        }
        if let Some(counters) = self.monitor.counters() {
            Counters::add(&counters.entries, 1);
        }
        if let Some(id) = xattrs {
            self.object(Purpose::Meta, id, path)?;
        }
        match node.kind {
            NodeKind::File { content: Content::Chunk(id), .. } => {
                self.object(Purpose::Data, id, path)?;
            }
            NodeKind::File { content: Content::List(id), size, .. } if self.sound_lists.get(&id) != Some(&size) => {
                self.list(id, size, path)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn list(&mut self, root: ObjectId, size: u64, path: &[u8]) -> Result<()> {
        let harmed = std::mem::replace(&mut self.harmed, false);
        let mut covered = 0u64;
        let reader = self.reader;
        let walked = walk_list(reader, root, &mut |met| {
            match met {
                InList::List(id) => drop(self.object(Purpose::Meta, id, path)?),
                InList::Extent(extent) => {
                    let end = covered.checked_add(extent.length()).filter(|end| *end <= size);
                    covered = end.ok_or_else(|| Error::Damaged {
                        file: format!("content list {}", root.to_hex()),
                        problem: format!("it covers more than the {size} bytes of the file"),
                    })?;
                    if let Extent::Chunk { id, .. } = extent {
                        self.object(Purpose::Data, id, path)?;
                    }
                }
            }
            Ok(())
        });
        match walked {
            Ok(()) if covered == size => {}
            Err(error) if self.ends(&error) => return Err(error),
            Err(_) if self.harmed => {}
            problem => {
                let message = problem.err().map_or_else(
                    || format!("the content list covers {covered} bytes, the file has {size}"),
                    |error| error.to_string(),
                );
                self.report.finding(Severity::Error, "packs/", Some(root), format!("{message}; {REPAIR}"));
                let number = self.report.findings.len() - 1;
                self.harm(number, path);
            }
        }
        if !self.harmed {
            self.sound_lists.insert(root, size);
        }
        self.harmed |= harmed;
        Ok(())
    }

    /// Whether an object has no sound copy; says whom that harms.
    fn object(&mut self, purpose: Purpose, id: ObjectId, path: &[u8]) -> Result<bool> {
        let lost = self.lost.get(&id).map(Vec::as_slice).unwrap_or_default();
        let copies = self.reader.copies(&id)?;
        if copies.iter().any(|copy| lost.iter().all(|(pack, _)| *pack != copy.pack)) {
            self.report.objects += u64::from(self.report.bytes_read == 0);
            return Ok(false);
        }
        let number = match lost.first() {
            Some((_, number)) => *number,
            None => self.absent(purpose, id),
        };
        self.harm(number, path);
        Ok(true)
    }

    /// The finding for an object that no pack was blamed for.
    fn absent(&mut self, purpose: Purpose, id: ObjectId) -> usize {
        if let Some(number) = self.absent.get(&id) {
            return *number;
        }
        let what = match purpose {
            Purpose::Data => "content",
            Purpose::Meta => "metadata",
        };
        let message = format!(
            "{what} that no pack holds; a create that finds the file in its source stores it again; if no source has it, {REPAIR}"
        );
        self.report.finding(Severity::Error, "index/", Some(id), message);
        let number = self.report.findings.len() - 1;
        self.absent.insert(id, number);
        number
    }

    fn harm(&mut self, number: usize, path: &[u8]) {
        self.harmed = true;
        self.harms += 1;
        if let Some(finding) = self.report.findings.get_mut(number) {
            let harm = (self.archive, path.to_vec());
            if finding.harms.len() < NAMED_PATHS && finding.harms.last() != Some(&harm) {
                finding.harms.push(harm);
            }
        }
    }
}

struct Level {
    entries: Entries,
    tree: ObjectId,
    length: usize,
    harmed: bool,
}
