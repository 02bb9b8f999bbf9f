//! Reading and restoring against a real file system, as root and as an ordinary user.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

mod attributes;
mod reading;
mod restoring;

struct Place {
    folder: TempDir,
    target: Target,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let target = Target::open(&folder.path().join("target"), true).unwrap();
        Self { folder, target }
    }

    fn root(&self) -> &TargetDir {
        self.target.root()
    }

    fn path(&self) -> &Path {
        self.root().path()
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn source(&self) -> SourceDir {
        SourceDir::open_path(self.path()).unwrap()
    }

    fn write(&self, name: &[u8], content: &[u8]) -> TargetFile {
        let file = self.root().create_file(name).unwrap();
        file.write_at(content, 0).unwrap();
        file
    }
}
