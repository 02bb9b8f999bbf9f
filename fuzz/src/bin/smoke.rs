//! Runs every target on its seeds and on mutations of them that are the same on every machine: a fuzzer for a stable
//! compiler and for a few seconds.
//!
//! Decoders also get the largest records that there may be.
//!
//! `smoke [FACTOR] [TARGET]` tries FACTOR times as many mutations, of one target only.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vault_fuzz::{TARGETS, Target, memory, swollen};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let factor = arguments.next().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let only = arguments.next();
    let chosen = TARGETS.iter().filter(|target| only.as_deref().is_none_or(|name| name == target.name));
    let mut good = true;
    for target in chosen {
        good &= match smoke(target, factor) {
            Ok(good) => good,
            Err(error) => {
                say(&format!("{}: {error}", target.name));
                false
            }
        };
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

fn smoke(target: &Target, factor: u32) -> io::Result<bool> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let seeds = read_seeds(&folder)?;
    if seeds.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no seeds in {}", folder.display())));
    }
    for (path, seed) in &seeds {
        if !holds(target, seed) {
            say(&format!("{}: the seed {} breaks it", target.name, path.display()));
            return Ok(false);
        }
    }
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..target.mutations * factor {
        let input = mutate(&mut random, &seeds);
        if !holds(target, &input) {
            let name = format!("smoke-{}-{round}", target.name);
            std::fs::write(&name, &input)?;
            say(&format!("{}: mutation {round} breaks it; the input is in ./{name}", target.name));
            return Ok(false);
        }
    }
    let heaviest = memory::heaviest() >> 10;
    let (seeds, mutations) = (seeds.len(), target.mutations * factor);
    say(&format!("{}: {seeds} seeds, {mutations} mutations; 2 x input + {heaviest} KiB at most", target.name));
    Ok(largest(target))
}

/// The largest records of few bytes an item.
fn largest(target: &Target) -> bool {
    swollen::ALL.iter().filter(|(family, ..)| *family == target.name).all(|maker| {
        let input = swollen::input(maker);
        let holds = holds(target, &input);
        let heaviest = memory::heaviest() >> 20;
        let length = input.len() >> 20;
        let (_, _, name, _) = maker;
        say(&format!("{}: {length} MiB of {name}; 2 x input + {heaviest} MiB at most", target.name));
        holds
    })
}

fn holds(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok()
}

/// In the order of their names: the mutations depend on it.
fn read_seeds(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(&path).map(|seed| (path, seed))).collect()
}

/// xorshift64*: the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, or 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}

fn mutate(random: &mut Random, seeds: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut seed = || seeds.get(random.below(seeds.len())).map(|(_, seed)| seed.as_slice()).unwrap_or_default();
    let (mut input, other) = (seed().to_vec(), seed());
    for _ in 0..=random.below(4) {
        change(random, &mut input, other);
    }
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    const NUMBERS: [u32; 8] = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];
    let at = random.below(input.len());
    let length = random.below((input.len() - at.min(input.len())).min(64)) + 1;
    let end = (at + length).min(input.len());
    match random.below(8) {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = u8::try_from(random.below(256)).unwrap_or(0);
            }
        }
        3 => {
            let number = NUMBERS.get(random.below(NUMBERS.len())).copied().unwrap_or(0).to_le_bytes();
            let width = 1 << random.below(3);
            let field = input.get_mut(at..).unwrap_or_default();
            field.iter_mut().zip(number).take(width).for_each(|(byte, value)| *byte = value);
        }
        4 => input.truncate(at),
        5 => drop(input.drain(at.min(end)..end)),
        6 => {
            let again = input.get(at..end).unwrap_or_default().to_vec();
            input.splice(at..at, again);
        }
        _ => {
            let from = random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(other.get(from..).unwrap_or_default());
        }
    }
}
