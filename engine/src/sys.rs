//! The only unsafe code: three things that the safe crates do not offer, each with the argument why it is sound.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::AtomicU32;

use memmap2::{Mmap, MmapMut, MmapOptions, MmapRaw};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Chooses the signal that tells of a lease: the libc crate does not name it, and it is 10 on every architecture that
/// takes it from the kernel's generic headers.
const F_SETSIG: libc::c_int = 10;

/// Maps one of **our own, immutable** files (a table of the local index) for reading. Never a file of the user.
///
/// Such a file lies in a folder of mode 0700 that belongs to us, gets its final name only when it is complete, is
/// never written or truncated afterwards, and is replaced by another file, never in place.
#[expect(unsafe_code, reason = "memmap2 cannot know that nobody writes to the file")]
pub(crate) fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes behind the slice must not change while it lives. By the contract above nothing that we run
    // writes to the file, and nobody else may; removing or replacing its name leaves the mapped inode alone. Whoever
    // breaks into our private folder can also write to our memory, so that is outside of what this must withstand.
    unsafe { Mmap::map(file) }
}

/// Many numbers that many threads count in, zero at first. They lie in a file without a name, so that the system can put them aside when
/// memory is short; the file goes with them.
#[derive(Debug)]
pub(crate) struct SharedWords {
    map: MmapRaw,
    count: usize,
}

impl SharedWords {
    /// In a file of a folder. On a full disk in memory: what makes room there must not fail for want of room.
    pub(crate) fn new(folder: &Path, count: usize) -> io::Result<Self> {
        let length = count.max(1).checked_mul(size_of::<AtomicU32>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let file = tempfile::tempfile_in(folder)?;
        let map = match reserve(&file, length) {
            Ok(()) => MmapOptions::new().len(length).map_raw(&file)?,
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                MmapMut::map_anon(length)?.into()
            }
            Err(error) => return Err(error),
        };
        Ok(Self { map, count })
    }

    /// The numbers.
    #[expect(unsafe_code, clippy::cast_ptr_alignment, reason = "no safe crate gives a mapping as atomic numbers")]
    pub(crate) fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping begins at a page, so it is aligned; it has room for `count` numbers, and every pattern of
        // bits is one; it lives as long as `self`, from which the slice is borrowed. Nobody looks at these bytes except
        // through the atomic numbers: no other reference to the mapping is ever made, and the file has no name by which
        // somebody could open it. It keeps its length, all of which was allocated when it was made.
        unsafe { std::slice::from_raw_parts(self.map.as_mut_ptr().cast::<AtomicU32>(), self.count) }
    }
}

/// Makes an empty file so long, with room on the disk for all of it: a page that finds none when it is written ends the process.
fn reserve(mut file: &File, length: usize) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length as u64) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = [0; 1 << 12];
            let mut left = length;
            while let Some(part) = zeros.get(..left.min(zeros.len())).filter(|part| !part.is_empty()) {
                file.write_all(part)?;
                left -= part.len();
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether nobody, this process included, has the file open or mapped for writing at this moment.
///
/// The kernel grants a read lease exactly then, and to nobody but the owner of the file or a process with
/// `CAP_LEASE`; whatever the reason for a refusal, the answer is `false`. The lease is given back at once: somebody
/// who opens the file for writing in between waits for those few microseconds (or, if it asked not to wait, is told
/// `EWOULDBLOCK`). The kernel would tell us so by `SIGIO`, whose default is to end the process, hence `SIGURG`, which
/// is ignored by default.
#[expect(unsafe_code, reason = "no safe crate has F_SETLEASE")]
pub(crate) fn has_no_writer(file: BorrowedFd<'_>) -> bool {
    let fd = file.as_raw_fd();
    // SAFETY: `fd` is open for as long as `file` is borrowed, and these commands of fcntl take an integer and no
    // pointer: they neither read nor write our memory.
    unsafe {
        if libc::fcntl(fd, F_SETSIG, libc::SIGURG) != 0 {
            return false;
        }
        let granted = libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0;
        if granted {
            libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const OVERLAYFS: rustix::fs::FsWord = 0x794C_7630;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_mapped_file_shows_its_bytes() {
        let file = file_with(b"index");
        assert_eq!(&map_file(file.as_file()).unwrap()[..], b"index");
    }

    #[test]
    fn shared_words_are_zero_first_and_then_what_many_threads_counted() {
        use std::sync::atomic::Ordering;
        let folder = tempfile::tempdir().unwrap();
        let numbers = SharedWords::new(folder.path(), 100_000).unwrap();
        assert!(numbers.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for word in numbers.words() {
                        word.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(numbers.words().iter().all(|word| word.load(Ordering::Relaxed) == 4));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "the file has no name");
        assert_eq!(SharedWords::new(folder.path(), 0).unwrap().words().len(), 0);
    }

    #[test]
    fn a_writer_is_noticed_and_so_is_its_end() {
        let path = file_with(b"data").into_temp_path();
        let reader = File::open(&path).unwrap();
        assert!(has_no_writer(reader.as_fd()), "nobody writes");
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        assert!(!has_no_writer(reader.as_fd()), "one has it open");
        drop(writer);
        assert!(has_no_writer(reader.as_fd()), "nobody writes any more");
    }

    #[test]
    #[expect(unsafe_code, reason = "a writable mapping, as databases have it")]
    fn a_shared_mapping_is_a_writer_even_when_its_descriptor_is_closed() {
        let path = file_with(b"data").into_temp_path();
        let reader = File::open(&path).unwrap();
        if rustix::fs::fstatfs(&reader).unwrap().f_type == OVERLAYFS {
            return; // There it goes unnoticed, which is why change detection does not ask there.
        }
        let writer = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        // SAFETY: nobody looks at the bytes.
        let mapping = unsafe { memmap2::MmapMut::map_mut(&writer) }.unwrap();
        drop(writer);
        assert!(!has_no_writer(reader.as_fd()), "it is mapped");
        drop(mapping);
        assert!(has_no_writer(reader.as_fd()), "it is not mapped any more");
    }

    #[test]
    fn a_writer_that_comes_in_between_does_not_end_the_process() {
        let path = file_with(b"data").into_temp_path();
        let reader = File::open(&path).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(OpenOptions::new().write(true).open(&path).unwrap());
                }
            });
            for _ in 0..20_000 {
                has_no_writer(reader.as_fd());
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
