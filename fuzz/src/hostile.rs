//! Archives of hostile trees: every object is one that a decoder accepts, and the rest is as bad as it gets.

use vault_engine::compress::Compression;
use vault_engine::crypto::{KeyRing, Purpose};
use vault_engine::format::list::{Extent, List};
use vault_engine::format::manifest::{Manifest, Statistics};
use vault_engine::format::records::Verb;
use vault_engine::format::tree::Tree;
use vault_engine::id::ObjectId;
use vault_engine::meta::{Attributes, Content, Node, NodeKind, Timestamp};
use vault_engine::repository::{Packer, Repository, Stored};
use vault_engine::store::MemoryStore;

use crate::repository::{put_manifest, records};
use crate::scratch::{empty, open};

/// Most entries that a walk of a hostile archive meets: trees that share parts could have more than there are atoms.
const MOST_ENTRIES: u64 = 500;
/// Longest run of zeros: they may be allocated.
const MOST_ZEROS: u64 = 1 << 16;

/// A repository with one archive of what the records say: chunks, content lists, trees, attributes. What they refer to is
/// replaced by what stands before them, so that an archive can be walked. `None`: there is no tree.
pub fn hostile_archive(program: &[u8]) -> Option<MemoryStore> {
    let store = empty();
    let repository = open(store.clone()).expect("our own repository");
    let index = repository.load_index().expect("an empty index");
    let packer = Packer::new(&repository, index.into(), Compression::None, Verb::Create, "");
    let mut storing = Storing { ring: repository.ring(), packer };
    let mut objects = Objects::default();
    for (what, bytes) in records(program) {
        match what % 4 {
            0 if !bytes.is_empty() => objects.chunk(&storing, bytes),
            1 => objects.list(&storing, bytes),
            2 => objects.tree(&storing, bytes),
            _ => objects.attributes(&storing, bytes),
        }
    }
    storing.packer.flush().expect("a store in memory");
    storing.packer.end();
    let (tree, _) = *objects.trees.last()?;
    let manifest = manifest(&repository, tree, objects.attributes.last().copied());
    put_manifest(&repository, &store, &manifest.encode(), true);
    Some(store)
}

/// Where objects go.
struct Storing<'a> {
    ring: &'a KeyRing,
    packer: Packer,
}

impl Storing<'_> {
    fn put(&self, purpose: Purpose, bytes: &[u8]) -> ObjectId {
        let id = self.ring.object_id(purpose, bytes);
        if self.packer.claim(&id) == Stored::New {
            self.packer.put_claimed(purpose, id, bytes).expect("a store in memory");
        }
        id
    }
}

/// What was stored so far, each with what must be known of it.
#[derive(Default)]
struct Objects {
    chunks: Vec<(ObjectId, u32)>,
    /// With the bytes that they cover, and the entries of a walk.
    lists: Vec<(ObjectId, u64, u64)>,
    /// With the entries of a walk.
    trees: Vec<(ObjectId, u64)>,
    attributes: Vec<ObjectId>,
}

/// One of those there are, by what an id says.
fn chosen<T: Copy>(from: &[T], id: ObjectId) -> Option<T> {
    let [first, ..] = *id.as_bytes();
    // Not all: that something is missing has its own ways.
    (first != 255).then(|| from.get(usize::from(first) % from.len().max(1)).copied()).flatten()
}

impl Objects {
    fn chunk(&mut self, store: &Storing<'_>, bytes: &[u8]) {
        let id = store.put(Purpose::Data, bytes);
        self.chunks.push((id, u32::try_from(bytes.len()).unwrap_or(0)));
    }

    fn attributes(&mut self, store: &Storing<'_>, bytes: &[u8]) {
        self.attributes.push(store.put(Purpose::Meta, bytes));
    }

    fn list(&mut self, store: &Storing<'_>, bytes: &[u8]) {
        let Ok(mut list) = List::decode(bytes) else { return };
        let mut entries = 0_u64;
        match &mut list {
            List::Leaf(extents) => {
                entries += extents.len() as u64;
                for extent in extents {
                    *extent = self.extent(*extent);
                }
            }
            List::Branch { parts, .. } => {
                for (covered, id) in parts {
                    if let Some((list, real, below)) = chosen(&self.lists, *id) {
                        (*covered, *id) = (real, list);
                        entries = entries.saturating_add(below);
                    }
                }
            }
        }
        if entries <= MOST_ENTRIES {
            let id = store.put(Purpose::Meta, &list.encode());
            self.lists.push((id, list.covered(), entries));
        }
    }

    fn extent(&self, extent: Extent) -> Extent {
        match extent {
            Extent::Chunk { id, length } => match chosen(&self.chunks, id) {
                Some((id, length)) => Extent::Chunk { id, length },
                None => Extent::Chunk { id, length },
            },
            Extent::Zeros(length) => Extent::Zeros(length % MOST_ZEROS),
            hole @ Extent::Hole(_) => hole,
        }
    }

    fn tree(&mut self, store: &Storing<'_>, bytes: &[u8]) {
        let Ok(mut tree) = Tree::decode(bytes) else { return };
        let mut entries = 1_u64;
        match &mut tree {
            Tree::Leaf(nodes) => {
                for (node, attributes) in nodes {
                    entries = entries.saturating_add(self.node(node));
                    *attributes = attributes.map(|id| chosen(&self.attributes, id).unwrap_or(id));
                }
            }
            Tree::Branch { parts, .. } => {
                for part in parts {
                    if let Some((tree, below)) = chosen(&self.trees, part.id) {
                        part.id = tree;
                        entries = entries.saturating_add(below);
                    }
                }
            }
        }
        if entries <= MOST_ENTRIES {
            let id = store.put(Purpose::Meta, &tree.encode());
            self.trees.push((id, entries));
        }
    }

    /// Gives a node content that exists; how many entries it stands for.
    fn node(&self, node: &mut Node) -> u64 {
        match &mut node.kind {
            NodeKind::Directory { tree } => {
                let Some((id, below)) = chosen(&self.trees, *tree) else { return 1 };
                *tree = id;
                below
            }
            NodeKind::File { size, content, .. } => match *content {
                Content::Chunk(id) => {
                    let Some((id, length)) = chosen(&self.chunks, id) else { return 1 };
                    *content = Content::Chunk(id);
                    right_size(size, u64::from(length));
                    1
                }
                Content::List(id) => {
                    let Some((id, covered, entries)) = chosen(&self.lists, id) else { return 1 };
                    *content = Content::List(id);
                    right_size(size, covered);
                    entries.saturating_add(1)
                }
                Content::Empty | Content::Missing => 1,
            },
            _ => 1,
        }
    }
}

/// The size that the content has, but for some.
fn right_size(size: &mut u64, real: u64) {
    if *size % 8 != 7 && real > 0 {
        *size = real;
    }
}

fn manifest(repository: &Repository, tree: ObjectId, attributes: Option<ObjectId>) -> Manifest {
    let root = Node {
        name: Vec::new(),
        implied: false,
        changed: false,
        missing: false,
        attributes: Attributes { mode: 0o755, ..Attributes::default() },
        kind: NodeKind::Directory { tree },
    };
    Manifest {
        root,
        root_xattrs: attributes,
        root_stamps: ObjectId::zero(),
        repository: repository.id(),
        host: "host".to_owned(),
        name: "hostile".to_owned(),
        host_id: [1; 16],
        sequence: 1,
        previous: None,
        parent: None,
        time: Timestamp::default(),
        start: Timestamp::default(),
        end: Timestamp::default(),
        utc_offset_seconds: 0,
        user: String::new(),
        comment: String::new(),
        program: String::new(),
        paths: Vec::new(),
        statistics: Statistics::default(),
        warnings: ObjectId::zero(),
        segments: Vec::new(),
    }
}
