//! What an object refers to: the edges of the graph whose roots are manifests. Compaction counts them (repository/gc/live.rs).

use crate::codec::Decoded;
use crate::crypto::Purpose;
use crate::format::list::{Extent, List};
use crate::format::manifest::Manifest;
use crate::format::stamp::{StampBody, Stamps};
use crate::format::tree::Tree;
use crate::id::ObjectId;
use crate::meta::{Content, NodeKind};

/// What an object is. Its bytes do not say so; whoever refers to it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A tree.
    Tree,
    /// The stamps of a tree.
    Stamps,
    /// A content list.
    List,
    /// An object that refers to nothing: a chunk; or, among metadata, a set of attributes or a list of warnings.
    Leaf(Purpose),
}

impl ObjectKind {
    /// Which keys name it.
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Tree | Self::Stamps | Self::List => Purpose::Meta,
            Self::Leaf(purpose) => purpose,
        }
    }
}

/// Hears of a reference.
pub type EachReference<'a> = dyn FnMut(ObjectKind, ObjectId) + 'a;

/// Calls back with every reference of an object, each time that it occurs.
///
/// # Errors
/// The bytes are no object of that kind; some references may have been named then.
pub fn references(kind: ObjectKind, bytes: &[u8], each: &mut EachReference<'_>) -> Decoded<()> {
    match kind {
        ObjectKind::Tree => of_tree(&Tree::decode(bytes)?, each),
        ObjectKind::Stamps => of_stamps(&Stamps::decode(bytes)?, each),
        ObjectKind::List => of_list(&List::decode(bytes)?, each),
        ObjectKind::Leaf(_) => {}
    }
    Ok(())
}

fn of_tree(tree: &Tree, each: &mut EachReference<'_>) {
    match tree {
        Tree::Branch { parts, .. } => parts.iter().for_each(|part| each(ObjectKind::Tree, part.id)),
        Tree::Leaf(nodes) => {
            for (node, xattrs) in nodes {
                if let Some(id) = xattrs {
                    each(ObjectKind::Leaf(Purpose::Meta), *id);
                }
                match &node.kind {
                    NodeKind::Directory { tree } => each(ObjectKind::Tree, *tree),
                    NodeKind::File { content: Content::Chunk(id), .. } => each(ObjectKind::Leaf(Purpose::Data), *id),
                    NodeKind::File { content: Content::List(id), .. } => each(ObjectKind::List, *id),
                    _ => {}
                }
            }
        }
    }
}

/// Zeros say that there are no stamps.
fn of_stamps(stamps: &Stamps, each: &mut EachReference<'_>) {
    let mut named = |id: ObjectId| {
        if !id.is_zero() {
            each(ObjectKind::Stamps, id);
        }
    };
    match &stamps.body {
        StampBody::Leaf(stamps) => stamps.iter().filter_map(|stamp| stamp.directory).for_each(&mut named),
        StampBody::Branch { parts, .. } => parts.iter().copied().for_each(&mut named),
    }
}

fn of_list(list: &List, each: &mut EachReference<'_>) {
    match list {
        List::Branch { parts, .. } => parts.iter().for_each(|(_, id)| each(ObjectKind::List, *id)),
        List::Leaf(extents) => {
            for extent in extents {
                if let Extent::Chunk { id, .. } = extent {
                    each(ObjectKind::Leaf(Purpose::Data), *id);
                }
            }
        }
    }
}

/// What a manifest refers to.
pub fn roots(manifest: &Manifest) -> Vec<(ObjectKind, ObjectId)> {
    let meta = ObjectKind::Leaf(Purpose::Meta);
    let named = [
        (ObjectKind::Tree, manifest.root_tree()),
        (ObjectKind::Stamps, manifest.root_stamps),
        (meta, manifest.root_xattrs.unwrap_or_default()),
        (meta, manifest.warnings),
    ];
    named.into_iter().filter(|(_, id)| !id.is_zero()).collect()
}
