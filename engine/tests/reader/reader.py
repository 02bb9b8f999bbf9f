#!/usr/bin/env python3
"""Restores archives of vault repositories: an independent reader, written from docs/format.md alone.

    reader.py REPO --list
    reader.py REPO [HOST/]NAME|ID-PREFIX TARGET [--rebuild]

The passphrase is in VAULT_PASSPHRASE, or the path of a key file in VAULT_KEY_FILE. --rebuild reads the packs' trailers
instead of the index. TARGET must not exist. What cannot be restored is said on standard error, and the exit status is
then 1. File flags are not restored. § are the sections of format.md.
"""
import glob
import hmac
import math
import os
import re
import stat
import struct
import sys
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace as Record

import lz4.block
import zstandard
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MIB = 1 << 20
DATA, META, INDEX, ROOT = 1, 2, 3, 4
CLASSES = {DATA: (b"PK", "data"), META: (b"PK", "meta"), INDEX: (b"IX", "index"), ROOT: (b"AR", "root")}
FILE, DIRECTORY, SYMLINK, FIFO, CHARACTER, DEVICE = 1, 2, 3, 4, 5, 6
IMPLIED, MISSING, LINKED, XATTRS, XATTRS_BY_ID, FIELDS = 1, 4, 8, 16, 32, 64
CHUNK, ZEROS, HOLE = 1, 2, 3


def need(condition, message):
    if not condition:
        raise ValueError(message)


class Cursor:
    """Takes fields off the front of a record; every length is compared with what is left before it is used."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        need(length <= len(self.data) - self.at, "a record ends too early")
        self.at += length
        return self.data[self.at - length:self.at]

    def read(self, layout):
        """Fields: codes of `struct`, `str`, `blob` (u32 length), `time` in nanoseconds, `zeros`N, `tlv`, `end`."""
        values = []
        for code in layout.split():
            if code in ("str", "blob"):
                values.append(self.take(*self.read("H" if code == "str" else "I")))
            elif code == "time":
                seconds, nanoseconds = self.read("qI")
                need(nanoseconds < 10**9, "nanoseconds out of range")
                values.append(seconds * 10**9 + nanoseconds)
            elif code.startswith("zeros"):
                zeros = self.take(int(code[5:] or len(self.data) - self.at))
                need(not any(zeros), "reserved bytes or padding are not zero")
            elif code == "tlv":
                region = Cursor(*self.read("blob"))
                while region.at < len(region.data):
                    need(region.read("H blob")[0] < 0x8000, "an unknown critical field")
            elif code == "end":
                need(self.at == len(self.data), "bytes after the end of a record")
            else:
                values += struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
        return values

    def many(self, count, layout):
        return [self.read(layout) for _ in range(*self.read(count))]


def opener(context, material, commit):  # §3: what opens records that were sealed with the keys derived from `material`
    keys = blake3(material, derive_key_context=context).digest(length=96)
    need(hmac.compare_digest(keys[64:], commit), "sealed with another key")
    return lambda sealed, aad: AESGCM(keys[:32]).decrypt(sealed[:12], sealed[12:], aad)


def decompress(codec, stored, length):
    if codec == 1:
        need(zstandard.frame_content_size(stored) in (-1, length), "a zstd frame has another length")
        stored = zstandard.ZstdDecompressor().decompress(stored, max_output_size=length, allow_extra_data=False)
    elif codec == 2:
        stored = lz4.block.decompress(stored, uncompressed_size=length)
    need(codec <= 2 and len(stored) == length, "unknown codec, or a block decompresses to another length")
    return stored


class Reader:
    def __init__(self, path, secrets):
        self.path, self.where, self.links, self.failed = path, {}, {}, False
        self.files = glob.glob("*/**", root_dir=path, recursive=True)
        self.open_config(secrets)
        self.packs = {name: os.path.getsize(os.path.join(path, name)) for name in self.names(r"packs/(..)/\1%s{62}")}
        self.pack = lru_cache(4096)(lambda pack: self.header(self.file(pack, 0, 128), (DATA, META)))
        self.block = lru_cache(16)(self.open_block)

    def names(self, pattern):  # §2: what has another name is not data
        return [name for name in self.files if re.fullmatch(pattern.replace("%s", "[0-9a-f]"), name)]

    def file(self, path, offset=0, length=None):  # §2: part of a file, or all of it; then it is compared with its name
        with open(os.path.join(self.path, path), "rb") as file:
            file.seek(offset)
            data = file.read(64 * MIB if length is None else length)
        named = length is None and re.fullmatch(".*/([0-9a-f]{64})", path)
        need(not named or blake3(data).hexdigest() == named[1], f"{path}: not what its name says, or too long")
        return data

    def key(self, label):
        return blake3(self.root_key, derive_key_context="vault 1 key " + label).digest()

    def open_config(self, secrets):  # §4
        cursor = Cursor(self.file("config"))
        magic, version, suite, length, features, _, _, self.id, self.domain, commit = cursor.read("8sHHI3Q 32s32s32s")
        profile, check = cursor.read(f"zeros56 {length}s 32s end")
        need(magic in (b"VAULT\0K1", b"VAULT\0P1") and (version, suite, features) == (1, 1, 0), "config: unknown")
        need(blake3(cursor.data[:-32]).digest() == check, "config: damaged")
        self.root_key = self.open_slots(cursor.data, magic == b"VAULT\0P1", secrets)
        material = self.key("seal config") + self.domain + self.id
        opener("vault 1 config", material, commit)(profile, cursor.data[:192])

    def open_slots(self, *arguments):  # §4: the root key, from the cheapest slot that opens
        slots = [(math.prod(struct.unpack("<II", self.file(path, 16, 8).ljust(8))), path)
                 for path in self.names("keys/%s{64}")]
        problems = []
        for _, path in sorted(slots)[:1056]:
            try:
                return self.open_slot(self.file(path), *arguments)
            except Exception as error:  # whatever is wrong with this one: another may open
                problems.append(str(error))
        raise ValueError("no key slot opens: " + "; ".join(problems))

    def open_slot(self, data, config, keyless, secrets):
        magic, version, suite, kind, role, memory, passes, lanes, length, salt, commit = Cursor(data).read(
            "8sHHBB zeros2 4I 32s32s zeros32")
        need((magic, version, suite, role, len(data)) == (b"VAULT\0KS", 1, 1, 1, 128 + length), "unknown kind of slot")
        secret = secrets.get(kind)
        need(secret is not None and keyless == (kind == 3), "not for what was given")
        if kind == 1:
            need(passes <= 16 and lanes <= 16 and memory <= MIB and memory * passes <= 4 * MIB, "beyond the limits")
            secret = hash_secret_raw(secret, salt, passes, memory, lanes, 32, Type.ID, 0x13)
        unseal = opener("vault 1 slot", bytes([kind]) + secret + salt, commit)
        cursor = Cursor(*Cursor(unseal(data[128:], data[:128])).read("blob zeros"))
        keys, copy = cursor.many("H", "HH32s"), cursor.read("blob str time tlv end")[0]
        roots = [key for *which, key in keys if which == [0, 0]]
        ours = copy[:8] + copy[40:104] == config[:8] + config[40:104]
        need(ours and len(roots) == 1, "the slot is another repository's, or has not one root key")
        return roots[0]

    def header(self, header, classes):  # §3: a sealed file's class, what opens its records, how their AAD begins
        magic, *fixed, _, class_, kind, generation, length, key_field, commit = Cursor(header).read(
            "8sHHI IBBHH zeros6 32s32s zeros32")
        need(class_ in classes and magic == b"VAULT\0" + CLASSES[class_][0], "a header of another kind")
        need((fixed, kind, generation, length) == ([1, 128, 0], 1, 0, 32), "a header of another version")
        material = self.key("seal " + CLASSES[class_][1]) + self.domain + key_field
        return class_, opener("vault 1 file", material, commit), self.domain + header

    def payload(self, path, class_):
        data = self.file(path)
        _, unseal, aad = self.header(data[:128], [class_])
        return Cursor(*Cursor(unseal(data[128:], aad + b"\4")).read("blob zeros"))

    def read_block(self, pack, offset, wanted):  # §5: directory and payload of a block of the wanted kind
        _, unseal, aad = self.pack(pack)
        head = unseal(self.file(pack, offset, 64), aad + b"\1")
        body, count, listed, stored, plain, _, codec, _, kind = Cursor(head).read("6IBbB zeros9 end")
        need(offset % 64 == 0 and body == (28 + listed + stored + 63) // 64 * 64 and kind == wanted, "no such block")
        need(plain <= 16 * MIB and count <= 65536 and listed == 36 * count, "a block is too large")
        cursor = Cursor(unseal(self.file(pack, offset + 64, body), aad + b"\2" + head))
        directory = list(struct.iter_unpack("<32sI", cursor.take(listed)))
        return directory, decompress(codec, *cursor.read(f"{stored}s zeros"), plain)

    def open_block(self, pack, offset):  # §5: a block's objects by id; each id is computed
        directory, payload = self.read_block(pack, offset, 1)
        key, cursor, objects = self.key("id data" if self.pack(pack)[0] == DATA else "id meta"), Cursor(payload), {}
        for id_, length in directory:
            objects[id_] = cursor.take(length)
            need(blake3(objects[id_], key=key).digest() == id_, "an object has other bytes than its id says")
        cursor.read("end")
        return objects

    def object(self, class_, id_):
        problem = "it is in no pack"
        for pack, offset in self.where.get((class_, id_), ()):
            try:
                return self.block(pack, offset)[id_]
            except Exception as error:  # whatever is wrong with this copy: there may be another
                problem = f"{pack}: {error!r}"
        raise ValueError(f"object {id_.hex()}: {problem}")

    def add_trailer(self, pack, class_, trailer):
        cursor = Cursor(trailer)
        while cursor.at < len(trailer):
            offset, _, _, count = cursor.read("IIB zeros3 I")
            for id_, _ in struct.iter_unpack("<32sI", cursor.take(36 * count)):
                self.where.setdefault((class_, id_), []).append((pack, offset))

    def add_pack(self, pack):
        class_, unseal, aad = self.pack(pack)
        tail = Cursor(unseal(self.file(pack, self.packs[pack] - 64, 64), aad + b"\3"))
        self.add_trailer(pack, class_, self.read_block(pack, *tail.read("I"), 2)[1])

    def add_segment(self, path):  # §6: what it says of a pack counts if that pack exists with this size
        cursor = self.payload(path, INDEX)
        _, _ = cursor.read("16s"), cursor.many("I", "32s")
        for name, size, class_, trailer in cursor.many("I", "32sQB zeros3 blob"):
            pack = f"packs/{name.hex()[:2]}/{name.hex()}"
            if self.packs.get(pack) == size:
                self.add_trailer(pack, class_, trailer)
        cursor.read("tlv end")

    def archives(self):  # §2: those that count, oldest first
        names = self.names(r"archives/%s{64}(\.ok|\.del)?")
        counting = [name for name in names if name + ".ok" in names and name + ".del" not in names]
        return sorted(map(self.manifest, counting), key=lambda archive: (archive.time, archive.sequence, archive.id))

    def manifest(self, path):  # §9
        mark = b"VAULT\0MK\1\1" + bytes(6) + bytes.fromhex(path[-64:])
        need(self.file(path + ".ok") == mark + blake3(mark).digest(), f"{path}.ok: damaged")
        cursor = self.payload(path, ROOT)
        root = parse_node(cursor, None)
        _, repository, host, label, _, sequence = cursor.read("32s32s str str 16sQ")
        need(repository == self.id, f"{path}: made for another repository")
        time = cursor.read("32s32s time time time i str str str")[2]
        _, _, _, _ = cursor.many("H", "str"), cursor.read("6Q 32s"), cursor.many("I", "32s"), cursor.read("tlv end")
        return Record(id=path[-64:], root=root, names=(label, host + b"/" + label), time=time, sequence=sequence)

    def leaves(self, id_, start, part, above=None):  # §7: of a tree or content list, as (cursor, count of entries)
        cursor = Cursor(self.object(META, id_))
        version, level, count, *_ = cursor.read("BB zeros2 I" + start)
        need(version == 1 and level <= 8 and above in (None, level + 1), "tree or list: unknown version or level")
        if level == 0:
            yield cursor, count
        for below in [cursor.read(part)[-1] for _ in range(count if level else 0)]:
            yield from self.leaves(below, start, part, level)
        cursor.read("end")

    def tree(self, id_):  # §7: the nodes of a directory
        for cursor, count in self.leaves(id_, "", "str Q 32s"):
            owners = cursor.many("H", "I str")
            yield from [parse_node(cursor, owners) for _ in range(count)]

    def content(self, id_):  # §7: the pieces of a file as (kind, length, id)
        for cursor, count in self.leaves(id_, " Q", "Q 32s"):
            for kind, length in [cursor.read("BQ") for _ in range(count)]:
                yield kind, length, cursor.take(32) if kind == CHUNK else None

    def attempt(self, what, call, *arguments):
        try:
            call(*arguments)
        except Exception as error:  # whatever is wrong with this one: the rest goes on
            print(f"reader: {what}: {error!r}", file=sys.stderr)
            self.failed = True

    def restore(self, node, path):
        need(not node.flags & MISSING or node.kind == DIRECTORY, "its content is not in the archive")
        if node.link in self.links:
            return os.link(self.links[node.link], path, follow_symlinks=False)
        if node.kind == FILE:
            try:
                self.restore_file(node, path)
            except Exception:
                os.unlink(path)  # half a file looks like a whole one
                raise
        elif node.kind == DIRECTORY:
            os.mkdir(path, 0o700)
            for child in self.tree(*node.fields):
                self.attempt(os.path.join(path, child.name), self.restore, child, os.path.join(path, child.name))
        elif node.kind == SYMLINK:
            os.symlink(*node.fields, path)
        else:
            kind = {FIFO: stat.S_IFIFO, CHARACTER: stat.S_IFCHR, DEVICE: stat.S_IFBLK}[node.kind]
            os.mknod(path, kind | 0o600, os.makedev(*node.fields) if node.fields else 0)
        if node.name or not node.flags & IMPLIED:
            self.finish(node, path)

    def restore_file(self, node, path):
        size, _, _, content = node.fields
        need(content <= 2, "its content is not in the archive")
        pieces = self.content(node.id) if content == 2 else [(CHUNK, size, node.id)][:content]
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            for kind, length, id_ in pieces:
                need(kind in (CHUNK, ZEROS, HOLE) and length <= size - file.tell(), "content: unknown or too long")
                if kind == CHUNK:
                    need(file.write(self.object(DATA, id_)) == length, "a chunk has another length")
                for start in range(0, length if kind == ZEROS else 0, MIB):
                    file.write(bytes(min(MIB, length - start)))
                file.seek(length if kind == HOLE else 0, os.SEEK_CUR)
            need(file.truncate() == size, "content: shorter than the file")
        if node.link:
            self.links[node.link] = path

    def finish(self, node, path):  # in this order, because each may undo one that comes later
        if os.geteuid() == 0:
            os.chown(path, node.uid, node.gid, follow_symlinks=False)
        if node.xattrs_id:
            node.xattrs = Cursor(self.object(META, node.xattrs_id)).many("H", "str blob")
        for name, value in node.xattrs:
            self.attempt(path, lambda *xattr: os.setxattr(path, *xattr, follow_symlinks=False), name, value)
        if node.kind != SYMLINK:
            os.chmod(path, node.mode)
        os.utime(path, ns=(node.mtime, node.mtime), follow_symlinks=False)


def parse_node(cursor, owners):  # §7: a node of a tree, or with `owners` None that of a manifest
    name, kind, flags, mode = cursor.read("str BHH")
    good = name == b"" and kind == DIRECTORY if owners is None else not re.fullmatch(rb"|\.|\.\.|.*[/\0].*", name, re.S)
    need(good and FILE <= kind <= DEVICE and flags < 128 and mode <= 0o7777, f"a hostile node: {name[:80]!r}")
    uid, gid = cursor.read("I str I str")[::2] if owners is None else [owners[index][0] for index in cursor.read("HH")]
    node = Record(name=name, kind=kind, flags=flags, mode=mode, uid=uid, gid=gid, mtime=cursor.read("time I")[0])
    layout = {FILE: "QBBB", DIRECTORY: "32s", SYMLINK: "str", FIFO: "", CHARACTER: "II", DEVICE: "II"}
    node.fields = cursor.read(layout[kind])
    node.id = cursor.take(32) if kind == FILE and node.fields[3] in (1, 2) else None
    node.link = cursor.take(16) if kind == FILE and flags & LINKED else None
    node.xattrs = cursor.many("H", "str blob") if flags & XATTRS else []
    node.xattrs_id = cursor.take(32) if flags & XATTRS_BY_ID else None
    cursor.read("tlv" if flags & FIELDS else "")
    return node


def main():
    sys.tracebacklimit = 0  # an error's message is enough
    sys.setrecursionlimit(20000)  # deep directories
    flags = {argument for argument in sys.argv[1:] if argument.startswith("--")}
    path, *wanted = [argument for argument in sys.argv[1:] if argument not in flags] or [""]
    if len(wanted) != (0 if "--list" in flags else 2) or flags - {"--list", "--rebuild"}:
        sys.exit(__doc__)
    key_file = os.environ.get("VAULT_KEY_FILE")
    secret = Path(key_file).read_bytes().removesuffix(b"\n") if key_file else None
    reader = Reader(path, {1: os.environb.get(b"VAULT_PASSPHRASE"), 2: secret, 3: b""})
    archives = reader.archives()
    if not wanted:
        return sys.stdout.writelines(f"{archive.id}\t{os.fsdecode(archive.names[1])}\n" for archive in archives)
    name, target = map(os.fsencode, wanted)
    found = [archive for archive in archives if name in archive.names]
    found = found or [archive for archive in archives if name and archive.id.encode().startswith(name)]
    need(found, "no such archive")
    rebuild = "--rebuild" in flags
    for source in reader.packs if rebuild else reader.names("index/%s{64}"):
        reader.attempt(source, reader.add_pack if rebuild else reader.add_segment, source)
    reader.attempt(target, reader.restore, found[-1].root, target)
    return 1 if reader.failed else 0


if __name__ == "__main__":
    sys.exit(main())
