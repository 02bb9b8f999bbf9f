//! Files on their way from the walk to the workers: in batches, and never more of them than the workers soon take.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rayon::Scope;

use crate::ops::create::file::Job;
use crate::ops::create::run::Run;

/// A batch goes to a worker when it holds so many bytes …
const BATCH_BYTES: u64 = 1 << 20;
/// … or so many files …
const BATCH_FILES: usize = 256;
/// … or files of so many directories, each of which keeps a descriptor open.
const BATCH_DIRECTORIES: usize = 16;
/// So many batches a worker may wait.
const BATCHES_WAITING: usize = 4;

/// Collects jobs and hands them out.
pub(super) struct Batches<'s, 'w> {
    run: &'s Run<'s>,
    scope: &'w Scope<'s>,
    jobs: Vec<Job>,
    bytes: u64,
    directories: usize,
    slots: Arc<Slots>,
}

impl<'s, 'w> Batches<'s, 'w> {
    pub(super) fn new(run: &'s Run<'s>, scope: &'w Scope<'s>, threads: usize) -> Self {
        let slots = Slots { free: Mutex::new(BATCHES_WAITING * threads), freed: Condvar::new() };
        Self { run, scope, jobs: Vec::new(), bytes: 0, directories: 0, slots: Arc::new(slots) }
    }

    /// Another directory is open from here on.
    pub(super) fn enter_directory(&mut self) {
        self.directories += 1;
    }

    /// Adds a file.
    pub(super) fn push(&mut self, job: Job) {
        self.bytes += job.stat.size.max(4096);
        self.jobs.push(job);
        if self.bytes >= BATCH_BYTES || self.jobs.len() >= BATCH_FILES || self.directories >= BATCH_DIRECTORIES {
            self.flush();
        }
    }

    /// Hands out what is collected; waits while too many batches do.
    pub(super) fn flush(&mut self) {
        self.bytes = 0;
        self.directories = 0;
        if self.jobs.is_empty() {
            return;
        }
        let jobs = std::mem::take(&mut self.jobs);
        let run = self.run;
        let slot = Slots::take(&self.slots);
        self.scope.spawn(move |scope| {
            let _slot = slot;
            for job in jobs {
                job.run(run, scope);
            }
        });
    }
}

/// Limits how many batches wait.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place among those that wait; given back when it is dropped, by a panic too.
struct Slot(Arc<Slots>);

impl Slots {
    fn take(slots: &Arc<Self>) -> Slot {
        let mut free = slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = slots.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(Arc::clone(slots))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
