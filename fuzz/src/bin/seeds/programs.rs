//! Inputs of the targets whose input is words, or a program of few bytes.

use vault_engine::compress::Codec;

use crate::Seeds;

/// The targets whose input is words, or a few bytes that stand for much.
pub(crate) fn words(seeds: &mut Seeds) {
    for (name, how) in [("content-defined", 0), ("fixed", 7)] {
        // Noise, a run of zeros longer than counts, a literal, repetition, zeros at the end.
        let runs = [1, 255, 0, 200, 2, 3, b'l', b'i', b't', b'!', 5, 99, 3, 50, 9, 120, 0, 255];
        seeds.add("chunker", name, [&[how, 3, 10, 0, 40, 255], runs.as_slice()].concat());
    }
    let text = b"objects that repeat, objects that repeat, and more objects that repeat ".repeat(3);
    for (name, what, which) in
        [("round-trip.zstd", 0, 230), ("round-trip.lz4", 0, 1), ("damage.zstd", 2, 4), ("damage.lz4", 2, 2)]
    {
        seeds.add("compress", name, [&[what, which], text.as_slice()].concat());
    }
    for (name, number, codec) in [("garbage.zstd", 1, Codec::Zstd), ("garbage.lz4", 2, Codec::Lz4)] {
        let setting = if codec == Codec::Zstd { "zstd,3" } else { "lz4" };
        let mut stored = Vec::new();
        vault_engine::compress::compress(setting.parse().expect("a setting"), &text, &mut stored);
        let length = u16::try_from(text.len()).expect("a short text").to_le_bytes();
        seeds.add("compress", name, [&[1, number], length.as_slice(), &stored].concat());
    }
    seeds.add(
        "pattern",
        "globs",
        b"\x00*.o\nsh:**/cache/[!a-c]?{x,y}\nhome/*/\xff\n\0home/a/x.o\0var/cache/dxy\0home/\xff/",
    );
    seeds.add(
        "pattern",
        "regex",
        b"\x02^var/(log|tmp)/\\d+$\n(?i)core\\Z\npp:etc\npf:boot/x\0var/log/12\0x/CORE\0etc/a\0boot/x",
    );
    let requests = [
        "auto,zstd,-7",
        "zstd,19",
        "lz4",
        "none",
        "fastcdc,1MiB",
        "fixed,16KiB",
        "buzhash,19,23,21,4095",
        "mtime,size",
    ];
    for words in requests {
        seeds.add("requests", words, words);
    }
    for words in ["7d", "2w", "13m", "36H"] {
        seeds.add("requests", words, words);
    }
    let selectors: [(&str, &[u8]); 8] = [
        ("series", b"db1/postgres~2\0db1"),
        ("at", b"postgres@2026-11-20T03:00:07+01:00\0h"),
        ("day", b"db1/postgres@2026-10-25"),
        ("latest", b"latest"),
        ("id", b"aid:0123abCD"),
        ("name", "Gr\u{f6}\u{df}e (1)\0db1.example.org".as_bytes()),
        ("placeholders", b"{hostname}-{now:%Y-%m-%d}.{utcnow}{{x}}{user}{pid}\0h"),
        ("format", b"{now:%A %B %e %j %s %U %V %Z %z %::z %.3f %N %%}\0h"),
    ];
    for (name, words) in selectors {
        seeds.add("selector", name, words);
    }
    let units: [(&str, &[u8]); 12] = [
        ("size", b"2.5GiB"),
        ("size.decimal", b"10 kB"),
        ("duration", b"1h30m\x002w"),
        ("duration.parts", b"1.5d2h0.25s\x000"),
        ("share", b"100%"),
        ("subset", b"3/7"),
        ("subset.size", b"10GiB"),
        ("day", b"2026-10-25\0Europe/Berlin"),
        ("time", b"2026-11-20T03:00:07.25-05:30\0+02:00"),
        ("moment", b"1969-12-31 23:59:58.5Z\0UTC"),
        ("first", b"0001-01-01\0America/New_York"),
        ("last", b"9999-12-30\0-12:00"),
    ];
    for (name, words) in units {
        seeds.add("units", name, words);
    }
}

/// Targets whose input is a program.
pub(crate) fn programs(seeds: &mut Seeds) {
    // A folder, a link out of it in its place, and work behind the link.
    let link: [[u8; 4]; 7] =
        [[0, 0, 0, 0], [2, 0, 0, 1], [9, 0, 0, 0], [3, 0, 138, 0], [66, 0, 0, 1], [0, 0, 0, 0], [73, 0, 0, 138]];
    seeds.add("target", "link", link.as_flattened());
    let hard: [[u8; 4]; 7] =
        [[2, 0, 0, 0], [6, 0, 0, 1], [6, 0, 144, 2], [10, 0, 0, 1], [11, 0, 0, 1], [13, 0, 0, 1], [8, 0, 0, 0]];
    seeds.add("target", "hard-links", hard.as_flattened());
    let deep: [[u8; 4]; 7] =
        [[0, 0, 0, 0], [64, 0, 0, 1], [128, 0, 1, 2], [194, 0, 1, 0], [69, 0, 0, 2], [76, 0, 0, 1], [9, 0, 0, 0]];
    seeds.add("target", "deep", deep.as_flattened());
    let up: [[u8; 4]; 6] =
        [[64, 131, 0, 1], [2, 0, 0, 131], [9, 0, 0, 134], [128, 0, 131, 138], [10, 0, 0, 145], [1, 0, 0, 132]];
    seeds.add("target", "upwards", up.as_flattened());
    let expanded: &[u8] = &[1, 255, 0, 200, 2, 3, b'l', b'i', b't', b'!', 5, 99, 3, 50];
    let length = u8::try_from(expanded.len()).expect("a few bytes");
    let mut all = Vec::new();
    // A folder with a file, a link to it, its attribute; a symlink, a FIFO, a sparse file; out again; a long file, an odd name.
    for step in [
        &[1, 0, 0x40][..],
        &[&[0, 1, length][..], expanded].concat(),
        &[7, 2, 0],
        &[11, 3, 13, b'v', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        &[3, 4, 3, b'a', b'/', b'b'],
        &[6, 5, 0x60],
        &[10, 6, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[15, 0, 0],
        &[&[0, 7, 251], expanded.repeat(18).get(..251).unwrap_or_default()].concat(),
        &[2, 210, 3, b'x', b'\n', 0xFF],
    ] {
        all.extend_from_slice(step);
    }
    for (name, how) in [("chosen", 0), ("fixed", 4), ("content-defined", 8 + 128)] {
        seeds.add("round_trip", name, [&[how], all.as_slice()].concat());
    }
    // Many small entries in one directory: it is cut into parts, and these into levels.
    let many: Vec<u8> =
        (0..60).flat_map(|number| [2, 200 + number % 50, 2, b'a' + number / 4, b'0' + number % 4]).collect();
    seeds.add("round_trip", "many", [&[0], many.as_slice()].concat());
}
