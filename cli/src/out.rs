//! Standard output. A reader that went away (`vault list | head`) ends the program quietly.

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};

use anyhow::Result;
use serde::Serialize;

use crate::exit::Exit;

/// Standard output is closed; nobody is there to be told.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for ReaderGone {}

/// Buffered standard output; what is written counts after [`Out::finish`].
#[derive(Debug)]
pub(crate) struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    /// Locks standard output.
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    /// Writes text and a newline.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<()> {
        writeln!(self.0, "{text}").map_err(failed)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(failed)
    }

    /// Writes one value as a line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.0, value).map_err(|error| failed(error.into()))?;
        self.bytes(b"\n")
    }

    /// Writes what is buffered.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.0.flush().map_err(failed)
    }
}

/// How a verb that has done its work ends: a reader that went away does not change what was found.
pub(crate) fn ended(printed: Result<()>, exit: Exit) -> Result<Exit> {
    match printed {
        Err(error) if error.downcast_ref::<ReaderGone>().is_some() => Ok(exit),
        printed => printed.map(|()| exit),
    }
}

fn failed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return ReaderGone.into();
    }
    anyhow::Error::from(error).context("cannot write to standard output")
}
