//! Which entries of an archive the user named.

/// The paths that were asked for, and which of them were found.
#[derive(Debug)]
pub(super) struct Selection {
    paths: Vec<(Vec<u8>, bool)>,
}

/// Whether an entry was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    /// It is one of the paths, or below one.
    Yes,
    /// One of the paths is below it.
    Above,
    /// Neither.
    No,
}

impl Selection {
    /// Paths as the user wrote them; leading and trailing slashes do not matter.
    pub(super) fn new(paths: &[Vec<u8>]) -> Self {
        let trimmed = |path: &Vec<u8>| {
            let names: Vec<&[u8]> =
                path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".").collect();
            (names.join(&b'/'), false)
        };
        Self { paths: paths.iter().map(trimmed).collect() }
    }

    /// Whether an entry was asked for.
    pub(super) fn of(&mut self, path: &[u8]) -> Selected {
        if self.paths.is_empty() {
            return Selected::Yes;
        }
        let mut selected = Selected::No;
        for (wanted, found) in &mut self.paths {
            if is_at_or_below(path, wanted) {
                *found = true;
                selected = Selected::Yes;
            } else if selected == Selected::No && is_at_or_below(wanted, path) {
                selected = Selected::Above;
            }
        }
        selected
    }

    /// The paths that no entry has.
    pub(super) fn unmatched(&self) -> Vec<Vec<u8>> {
        self.paths.iter().filter(|(_, found)| !found).map(|(path, _)| path.clone()).collect()
    }
}

fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || above.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_selects_itself_what_is_below_and_the_way_to_it() {
        let mut selection = Selection::new(&[b"/var/lib/".to_vec(), b"etc".to_vec(), b"none".to_vec()]);
        for (path, selected) in [
            ("var", Selected::Above),
            ("var/lib", Selected::Yes),
            ("var/lib/x/y", Selected::Yes),
            ("var/library", Selected::No),
            ("etc/passwd", Selected::Yes),
            ("home", Selected::No),
        ] {
            assert_eq!(selection.of(path.as_bytes()), selected, "{path}");
        }
        assert_eq!(selection.unmatched(), [b"none".to_vec()]);
    }
}
