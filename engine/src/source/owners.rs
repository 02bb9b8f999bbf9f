//! Names of users and groups, each looked up once: a lookup may ask a directory server.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use nix::unistd::{Gid, Group, Uid, User};

use crate::meta::Owner;

/// Knows the names of numbers and the numbers of names on this host. Shared by all threads.
///
/// What is not known, or cannot be looked up, has the empty name and no number.
#[derive(Debug, Default)]
pub struct Owners {
    users: Cache<u32, Arc<[u8]>>,
    groups: Cache<u32, Arc<[u8]>>,
    uids: Cache<Vec<u8>, Option<u32>>,
    gids: Cache<Vec<u8>, Option<u32>>,
}

impl Owners {
    /// With nothing looked up yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The user of this number.
    pub fn user(&self, uid: u32) -> Owner {
        let look_up =
            |uid: &u32| User::from_uid(Uid::from_raw(*uid)).ok().flatten().map(|user| user.name.into_bytes().into());
        Owner { number: uid, name: self.users.find(&uid, |uid| look_up(uid).unwrap_or_default()) }
    }

    /// The group of this number.
    pub fn group(&self, gid: u32) -> Owner {
        let look_up =
            |gid: &u32| Group::from_gid(Gid::from_raw(*gid)).ok().flatten().map(|group| group.name.into_bytes().into());
        Owner { number: gid, name: self.groups.find(&gid, |gid| look_up(gid).unwrap_or_default()) }
    }

    /// The number that a user of this name has here.
    pub fn uid_of(&self, name: &[u8]) -> Option<u32> {
        self.uids.find(name, |name| Some(User::from_name(plain(name)?).ok()??.uid.as_raw()))
    }

    /// The number that a group of this name has here.
    pub fn gid_of(&self, name: &[u8]) -> Option<u32> {
        self.gids.find(name, |name| Some(Group::from_name(plain(name)?).ok()??.gid.as_raw()))
    }
}

/// A name that can be looked up at all.
fn plain(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains('\0'))
}

#[derive(Debug)]
struct Cache<K, V>(RwLock<HashMap<K, V>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// No lock is held during the lookup: two threads may look up the same thing, and find the same.
    fn find<Q>(&self, key: &Q, look_up: impl FnOnce(&Q) -> V) -> V
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        known.unwrap_or_else(|| {
            let found = look_up(key);
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), found.clone());
            found
        })
    }
}
