//! Stores through a shared mapping, of which mtime and ctime may know nothing.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{FilesCache, Nights, noise};
use crate::support;

const MAPPER: &str = "
import mmap, sys
with open(sys.argv[1], 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    at, text = line.split()
    memory[int(at):int(at) + len(text)] = text.encode()
    print('done', flush=True)
";

/// A process that has a file mapped and stores into it when told to.
struct Mapper {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Mapper {
    fn start(test: &str, path: &std::path::Path) -> Option<Self> {
        let mut python = Command::new("python3");
        python.args(["-c", MAPPER]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut process) = python.spawn() else {
            support::skip_missing(test, "python3");
            return None;
        };
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Some(Self { process, input, output })
    }

    fn store(&mut self, at: usize, text: &str) {
        writeln!(self.input, "{at} {text}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }

    fn end(self) {
        let Self { mut process, input, output } = self;
        drop((input, output));
        assert!(process.wait().unwrap().success());
    }
}

#[test]
fn a_store_into_a_page_that_was_dirty_before_the_first_night_is_in_the_second() {
    let nights = Nights::new();
    nights.write("database", &noise(1, 200_000));
    let Some(mut mapper) = Mapper::start(
        "a_store_into_a_page_that_was_dirty_before_the_first_night_is_in_the_second",
        &nights.path("database"),
    ) else {
        return;
    };
    mapper.store(5000, "AAAA");
    // Long enough that no tick of a clock hides what follows.
    nights.settle();
    let (first, _) = nights.night(FilesCache::default());
    nights.assert_same(&first);
    for (night, text) in ["BBBB", "CCCC", "DDDD"].into_iter().enumerate() {
        mapper.store(5000, text);
        let (created, _) = nights.night(FilesCache::default());
        assert_eq!(created.unchanged_files, 0, "night {night} believed a file that is mapped for writing");
        nights.assert_same(&created);
    }
    mapper.end();
    let (last, _) = nights.night(FilesCache::default());
    nights.assert_same(&last);
}

#[test]
fn a_file_that_nobody_maps_any_more_is_believed_in_time() {
    let nights = Nights::new();
    if !nights.believes("a_file_that_nobody_maps_any_more_is_believed_in_time") {
        return;
    }
    nights.write("database", &noise(1, 200_000));
    let test = "a_file_that_nobody_maps_any_more_is_believed_in_time";
    let Some(mut mapper) = Mapper::start(test, &nights.path("database")) else { return };
    mapper.store(100, "AAAA");
    mapper.end();
    nights.settle();
    nights.night(FilesCache::default());
    assert_eq!(nights.night(FilesCache::default()).0.unchanged_files, 1);
    let mut mapper = Mapper::start(test, &nights.path("database")).unwrap();
    mapper.store(100, "BBBB");
    let (created, _) = nights.night(FilesCache::default());
    nights.assert_same(&created);
    mapper.end();
}
