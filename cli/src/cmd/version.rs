//! `vault version`.

use anyhow::Result;

use crate::exit::Exit;
use crate::out::Out;

/// Shows the version.
pub(super) fn run() -> Result<Exit> {
    let mut out = Out::new();
    out.line(concat!("vault ", env!("CARGO_PKG_VERSION")))?;
    out.line("repository format 1")?;
    out.finish()?;
    Ok(Exit::Success)
}
