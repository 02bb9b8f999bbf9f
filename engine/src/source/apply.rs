//! Attributes of what was restored, in the order in which one does not undo the other.
//!
//! The owner first, because a change of owner takes setuid bits and file capabilities away. Then attributes that the
//! archive does not have go, because an inherited ACL would decide what the mode's group bits mean; then the mode; then
//! the archived attributes, ACLs among them. Then inode flags, the time of modification, and at the very last the flags
//! immutable and append-only, which forbid everything else; a file that has them already loses them first.
//!
//! What is right already is not touched. What cannot be set is reported and does not stop the rest.

use std::io;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};

use super::flags::InodeFlags;
use super::name::check_name;
use super::open::change_mode;
use super::owners::Owners;
use super::stat::{FileKind, Stat, stat_at, stat_open};
use super::target_dir::TargetDir;
use super::target_file::TargetFile;
use super::xattr::Place;
use crate::error::FileError;
use crate::meta::{Attributes, Timestamp, Xattr};

const SETUID: u16 = 0o4000;
const SETGID: u16 = 0o2000;

/// What gets the attributes.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An open file.
    File(&'a TargetFile),
    /// An open directory.
    Directory(&'a TargetDir),
    /// A symlink, FIFO or device, which is never opened.
    Entry(&'a TargetDir, &'a [u8]),
}

/// How attributes are applied.
#[derive(Clone, Copy, Debug)]
pub struct AttributeOptions<'a> {
    /// Names of users and groups on this host.
    pub owners: &'a Owners,
    /// Take the archived numbers even where this host knows the archived names.
    pub numeric_ids: bool,
}

/// What can be left unset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnsetAttribute {
    /// The user.
    Owner,
    /// The group.
    Group,
    /// The permission bits, or setuid and setgid alone.
    Mode,
    /// The extended attribute of this name could not be set or removed; empty: they could not be listed.
    Xattr(Vec<u8>),
    /// Some inode flags.
    Flags,
    /// The time of modification.
    Mtime,
}

/// One attribute that could not be set.
#[derive(Debug)]
pub struct Unset {
    /// Which one.
    pub attribute: UnsetAttribute,
    /// Why not.
    pub error: io::Error,
}

/// Makes the attributes of something restored those of the archive, and says what could not be set.
///
/// # Errors
/// Only if the subject cannot even be looked at.
pub fn apply_attributes(
    subject: Subject<'_>,
    attributes: &Attributes,
    options: &AttributeOptions<'_>,
) -> Result<Vec<Unset>, FileError> {
    let mut applier = Applier::new(subject).map_err(|error| FileError::new("stat", subject.path(), error))?;
    let mut flags = applier.read_flags(attributes.file_flags);
    applier.set_owner(attributes, options);
    // Most files have no attributes, neither here nor there: one call.
    let present = applier.xattrs(&subject);
    applier.remove_extra(&present, &attributes.xattrs);
    applier.set_mode(attributes.mode);
    applier.set_xattrs(&present, &attributes.xattrs);
    if let Some(flags) = &mut flags {
        applier.note(UnsetAttribute::Flags, flags.set_ordinary(attributes.file_flags));
    }
    applier.set_mtime(attributes.mtime);
    if let Some(flags) = &mut flags {
        applier.note(UnsetAttribute::Flags, flags.set_protection(attributes.file_flags));
    }
    Ok(applier.unset)
}

impl<'a> Subject<'a> {
    fn path(&self) -> PathBuf {
        match self {
            Self::File(file) => file.path().to_owned(),
            Self::Directory(directory) => directory.path().to_owned(),
            Self::Entry(directory, name) => directory.child_path(name),
        }
    }

    fn place(&self) -> Place<'a> {
        match self {
            Self::File(file) => Place::Open(file.as_fd()),
            Self::Directory(directory) => Place::Open(directory.as_fd()),
            Self::Entry(directory, name) => Place::Entry(directory.as_fd(), name),
        }
    }
}

struct Applier<'a> {
    place: Place<'a>,
    stat: Stat,
    /// Whether the mode may have lost bits since `stat`.
    owner_changed: bool,
    unset: Vec<Unset>,
}

impl<'a> Applier<'a> {
    fn new(subject: Subject<'a>) -> io::Result<Self> {
        let place = subject.place();
        let stat = match place {
            Place::Open(file) => stat_open(file),
            Place::Entry(directory, name) => check_name(name).and_then(|()| stat_at(directory, name)),
        }?;
        Ok(Self { place, stat, owner_changed: false, unset: Vec::new() })
    }

    fn note(&mut self, attribute: UnsetAttribute, result: io::Result<()>) {
        if let Err(error) = result {
            self.unset.push(Unset { attribute, error });
        }
    }

    fn is_unset(&self, attribute: &UnsetAttribute) -> bool {
        self.unset.iter().any(|unset| unset.attribute == *attribute)
    }

    /// The flags of what is open, without those that would forbid the rest.
    fn read_flags(&mut self, wanted: u32) -> Option<InodeFlags<'a>> {
        let flags = match self.place {
            Place::Open(file) => InodeFlags::read(file),
            Place::Entry(..) if wanted == 0 => return None,
            Place::Entry(..) => Err(io::ErrorKind::Unsupported.into()),
        };
        let cleared = flags.and_then(|mut flags| flags.clear_protection().map(|_| flags));
        match cleared {
            Ok(flags) => Some(flags),
            Err(error) => {
                self.note(UnsetAttribute::Flags, Err(error));
                None
            }
        }
    }

    fn set_owner(&mut self, attributes: &Attributes, options: &AttributeOptions<'_>) {
        let (owner, group) = (&attributes.owner, &attributes.group);
        let here = |name: &[u8], find: &dyn Fn(&[u8]) -> Option<u32>| {
            if options.numeric_ids { None } else { find(name) }
        };
        let uid = here(&owner.name, &|name| options.owners.uid_of(name)).unwrap_or(owner.number);
        let gid = here(&group.name, &|name| options.owners.gid_of(name)).unwrap_or(group.number);
        let uid = (uid != self.stat.uid).then_some(uid);
        let gid = (gid != self.stat.gid).then_some(gid);
        if (uid.is_some() && gid.is_some() && self.change_owner(uid, gid).is_ok()) || (uid.is_none() && gid.is_none()) {
            return;
        }
        // An ordinary user may give a file to a group of its own, but not to another user.
        for (attribute, uid, gid) in [(UnsetAttribute::Group, None, gid), (UnsetAttribute::Owner, uid, None)] {
            if uid.is_some() || gid.is_some() {
                let result = self.change_owner(uid, gid);
                self.note(attribute, result);
            }
        }
    }

    fn change_owner(&mut self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let reserved = |number: Option<u32>| number == Some(u32::MAX);
        if reserved(uid) || reserved(gid) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the number of the owner means nobody"));
        }
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        match self.place {
            Place::Open(file) => rustix::fs::fchown(file, uid, gid),
            Place::Entry(directory, name) => rustix::fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
        }?;
        self.owner_changed = true;
        Ok(())
    }

    fn set_mode(&mut self, archived: u16) {
        if self.stat.kind == FileKind::Symlink {
            return;
        }
        let wanted = self.without_strangers_rights(archived & 0o7777);
        if wanted == self.stat.mode && !self.owner_changed {
            return;
        }
        let result = match self.place {
            Place::Open(file) => {
                rustix::fs::fchmod(file, Mode::from_raw_mode(u32::from(wanted))).map_err(io::Error::from)
            }
            Place::Entry(directory, name) => change_mode(directory, name, |_| wanted),
        };
        self.note(UnsetAttribute::Mode, result);
    }

    /// A program that was to run as its owner must not run as whoever restored it.
    fn without_strangers_rights(&mut self, mode: u16) -> u16 {
        if self.stat.kind == FileKind::Directory {
            return mode;
        }
        let mut safe = mode;
        for (attribute, bit) in [(UnsetAttribute::Owner, SETUID), (UnsetAttribute::Group, SETGID)] {
            if self.is_unset(&attribute) {
                safe &= !bit;
            }
        }
        if safe != mode {
            let reason = "setuid or setgid is left out, because the owner or group could not be set";
            self.note(UnsetAttribute::Mode, Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
        }
        safe
    }

    fn xattrs(&mut self, subject: &Subject<'_>) -> Vec<Xattr> {
        let list = self.place.read(|| subject.path());
        for problem in list.problems {
            self.note(UnsetAttribute::Xattr(Vec::new()), Err(problem.source));
        }
        list.xattrs
    }

    fn remove_extra(&mut self, present: &[Xattr], wanted: &[Xattr]) {
        for Xattr { name, .. } in present {
            if is_ours_to_remove(name) && !wanted.iter().any(|xattr| xattr.name == *name) {
                let result = self.place.remove(name);
                self.note(UnsetAttribute::Xattr(name.clone()), result);
            }
        }
    }

    /// A change of owner may have taken a capability away that was there when we looked, so then all are set.
    fn set_xattrs(&mut self, present: &[Xattr], wanted: &[Xattr]) {
        for xattr in wanted {
            if self.owner_changed || !present.contains(xattr) {
                let result = self.place.set(&xattr.name, &xattr.value);
                self.note(UnsetAttribute::Xattr(xattr.name.clone()), result);
            }
        }
    }

    fn set_mtime(&mut self, mtime: Timestamp) {
        if mtime == self.stat.mtime {
            return;
        }
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let last_modification = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
        let times = Timestamps { last_access: omit, last_modification };
        let result = match self.place {
            Place::Open(file) => rustix::fs::futimens(file, &times),
            Place::Entry(directory, name) => rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW),
        };
        self.note(UnsetAttribute::Mtime, result.map_err(io::Error::from));
    }
}

/// Attributes that a file has because somebody set or inherited them. Others (`security.selinux`, `security.ima`,
/// `system.nfs4_acl`) the host gives to every file by its own rules, and they stay.
fn is_ours_to_remove(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability"
}
