//! PATH arguments as the archive stores them: no leading slash, no `.` or `..`, parents implied.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The names above the PATHs, and the PATHs at their ends.
#[derive(Debug, Default)]
pub(super) struct PathTree {
    /// Below this name: more names, or what is archived there.
    pub(super) children: BTreeMap<Vec<u8>, PathTree>,
    /// What is archived at this place.
    pub(super) source: Option<PathSource>,
}

/// What a PATH argument stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathSource {
    /// A place in the file system, and which argument it was.
    Path(PathBuf, u16),
    /// Standard input.
    Input,
}

impl PathTree {
    /// Sorts the arguments into a tree.
    ///
    /// # Errors
    /// Two of them store the same name, or one lies inside another.
    pub(super) fn new(paths: &[PathBuf], input: Option<&[u8]>) -> Result<Self> {
        let mut root = Self::default();
        for (number, path) in paths.iter().enumerate() {
            let number = u16::try_from(number).map_err(|_| Error::Usage("more than 65,535 PATHs".to_owned()))?;
            root.insert(&stored_names(path), path, PathSource::Path(path.clone(), number))?;
        }
        if let Some(name) = input {
            let path = Path::new(std::ffi::OsStr::from_bytes(name));
            let names = stored_names(path);
            if names.is_empty() {
                return Err(Error::Usage("standard input needs a name (--stdin-name)".to_owned()));
            }
            root.insert(&names, path, PathSource::Input)?;
        }
        Ok(root)
    }

    fn insert(&mut self, names: &[Vec<u8>], path: &Path, source: PathSource) -> Result<()> {
        let clash = || {
            Error::Usage(format!(
                "two PATHs store the same name: {} is given twice or lies inside another PATH",
                path.display()
            ))
        };
        if self.source.is_some() {
            return Err(clash());
        }
        match names.split_first() {
            Some((first, rest)) => self.children.entry(first.clone()).or_default().insert(rest, path, source),
            None if !self.children.is_empty() => Err(clash()),
            None => {
                self.source = Some(source);
                Ok(())
            }
        }
    }
}

/// The names of a path as they are stored: `.` and empty ones left out, `..` taken back, none above the root.
pub(super) fn stored_names(path: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for name in path.as_os_str().as_bytes().split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name.to_vec()),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_stored_as_borg_stores_them() {
        let check = |path: &str, stored: &str| {
            let names = stored_names(Path::new(path));
            assert_eq!(String::from_utf8(names.join(&b'/')).unwrap(), stored, "{path}");
        };
        check("/var/lib/x", "var/lib/x");
        check(".", "");
        check("./a//b/", "a/b");
        check("../../x", "x");
        check("a/../b", "b");
        check("/", "");
    }

    #[test]
    fn paths_that_store_the_same_name_are_refused() {
        let tree = |paths: &[&str]| PathTree::new(&paths.iter().map(PathBuf::from).collect::<Vec<_>>(), None);
        assert!(tree(&["/a/b", "/a/c", "d"]).is_ok());
        assert!(tree(&["/a/b", "a/b"]).is_err());
        assert!(tree(&["/a", "/a/b"]).is_err());
        assert!(tree(&["/a/b", "/a"]).is_err());
        assert!(tree(&[".", "a"]).is_err());
    }
}
