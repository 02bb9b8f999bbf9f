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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::stamp::NodeStamp;
    use crate::format::tree::TreePart;
    use crate::meta::{Attributes, Chunking, Node};

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes([number; 32])
    }

    fn of(kind: ObjectKind, bytes: &[u8]) -> Vec<(ObjectKind, ObjectId)> {
        let mut found = Vec::new();
        references(kind, bytes, &mut |kind, id| found.push((kind, id))).unwrap();
        found
    }

    fn node(name: u8, kind: NodeKind) -> Node {
        let name = vec![name];
        Node { name, implied: false, changed: false, missing: false, attributes: Attributes::default(), kind }
    }

    fn file(name: u8, content: Content) -> Node {
        node(name, NodeKind::File { size: 1, chunking: Chunking::None, content, link: None })
    }

    #[test]
    fn a_tree_refers_to_directories_contents_and_attributes() {
        let tree = Tree::Leaf(vec![
            (file(b'a', Content::Chunk(id(1))), Some(id(2))),
            (file(b'b', Content::List(id(3))), None),
            (node(b'c', NodeKind::Directory { tree: id(4) }), Some(id(2))),
            (node(b'd', NodeKind::Fifo), None),
            (file(b'e', Content::Chunk(id(1))), None),
        ]);
        let (data, meta) = (ObjectKind::Leaf(Purpose::Data), ObjectKind::Leaf(Purpose::Meta));
        let expected = [(meta, 2), (data, 1), (ObjectKind::List, 3), (meta, 2), (ObjectKind::Tree, 4), (data, 1)];
        assert_eq!(of(ObjectKind::Tree, &tree.encode()), expected.map(|(kind, number)| (kind, id(number))));
        let part = |first, number| TreePart { first: vec![first], entries: 1, id: id(number) };
        let branch = Tree::Branch { level: 1, parts: vec![part(b'a', 5), part(b'b', 6)] };
        assert_eq!(of(ObjectKind::Tree, &branch.encode()), [5, 6].map(|number| (ObjectKind::Tree, id(number))));
        assert_eq!(of(data, &tree.encode()), [], "a file with the bytes of a tree is a file");
    }

    #[test]
    fn a_list_refers_to_its_chunks_or_parts() {
        let list = List::Leaf(vec![
            Extent::Hole(5),
            Extent::Chunk { id: id(1), length: 7 },
            Extent::Zeros(3),
            Extent::Chunk { id: id(1), length: 7 },
        ]);
        assert_eq!(of(ObjectKind::List, &list.encode()), [(ObjectKind::Leaf(Purpose::Data), id(1)); 2]);
        let branch = List::Branch { level: 1, parts: vec![(7, id(2)), (7, id(3))] };
        assert_eq!(of(ObjectKind::List, &branch.encode()), [2, 3].map(|number| (ObjectKind::List, id(number))));
    }

    #[test]
    fn zeros_among_stamps_are_no_references() {
        let directory = |directory| NodeStamp { stamp: None, directory };
        let leaf = vec![directory(Some(id(1))), directory(Some(ObjectId::zero())), directory(None)];
        let stamps = Stamps { tree: id(9), body: StampBody::Leaf(leaf) };
        assert_eq!(of(ObjectKind::Stamps, &stamps.encode()), [(ObjectKind::Stamps, id(1))]);
        let parts = vec![ObjectId::zero(), id(2)];
        let stamps = Stamps { tree: id(9), body: StampBody::Branch { level: 1, parts } };
        assert_eq!(of(ObjectKind::Stamps, &stamps.encode()), [(ObjectKind::Stamps, id(2))]);
    }

    #[test]
    fn bytes_of_another_kind_are_refused() {
        let list = List::Leaf(vec![Extent::Hole(5)]).encode();
        assert!(references(ObjectKind::Tree, &list, &mut |_, _| {}).is_err());
        assert!(references(ObjectKind::Stamps, &[], &mut |_, _| {}).is_err());
    }
}
