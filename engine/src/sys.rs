//! The only unsafe code: two things that the safe crates do not offer, each with the argument why it is sound.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use memmap2::Mmap;

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
