//! Bytes like those in the volumes that people archive: source text, records of programs, vectors, pages of a database.

use crate::random::Random;

/// Length of the database pages, as in PostgreSQL.
pub const PAGE_BYTES: usize = 8192;
const WORDS: usize = 2000;
const SYLLABLES: [&str; 16] =
    ["al", "be", "con", "da", "er", "fi", "get", "in", "ko", "lo", "me", "no", "per", "re", "set", "ta"];

/// Makes contents of one kind after another from one vocabulary.
#[derive(Debug)]
pub struct Contents {
    random: Random,
    words: Vec<String>,
}

impl Contents {
    /// The contents that `seed` names.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut word = || -> String {
            let syllables = 1 + random.below(3);
            (0..syllables).filter_map(|_| SYLLABLES.get(random.below(SYLLABLES.len()))).copied().collect()
        };
        let words = (0..WORDS).map(|_| word()).collect();
        Self { random, words }
    }

    /// The numbers behind it, for sizes and choices.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Something like source text, which zstd makes about a quarter of.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        const BETWEEN: [&str; 12] =
            [" ", " ", " ", "_", ".", "(", ") ", ", ", " = ", ";\n    ", ";\n        ", " {\n    "];
        let mut out = Vec::with_capacity(length + 64);
        while out.len() < length {
            // Few words are frequent and many are rare.
            let limit = 1 + self.random.below(WORDS);
            let word = self.words.get(self.random.below(limit)).map(String::as_str).unwrap_or_default();
            out.extend_from_slice(word.as_bytes());
            if self.random.below(12) == 0 {
                out.extend_from_slice(self.random.below(10_000).to_string().as_bytes());
            }
            let between = BETWEEN.get(self.random.below(BETWEEN.len())).copied().unwrap_or(" ");
            out.extend_from_slice(between.as_bytes());
        }
        out.truncate(length);
        out
    }

    /// Records of a program: counters, small numbers, hashes; about half of it can be saved.
    pub fn records(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 32);
        let mut counter = self.random.bits() >> 40;
        while out.len() < length {
            counter += self.random.bits() % 16;
            out.extend_from_slice(&counter.to_le_bytes());
            out.extend_from_slice(&(self.random.bits() % 1000).to_le_bytes());
            out.extend_from_slice(&self.random.bits().to_le_bytes());
        }
        out.truncate(length);
        out
    }

    /// Photographs, archives, ciphertext.
    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.random.fill(&mut out);
        out
    }

    /// Embeddings: 32-bit floats between −1 and 1.
    pub fn vectors(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 4);
        while out.len() < length {
            // 23 random bits of mantissa below an exponent that is 0 half of the time, −1 a quarter …
            let bits = self.random.bits();
            let exponent = 126 - bits.trailing_zeros().min(20);
            let float = u32::try_from(bits >> 40).unwrap_or(0) & 0x007F_FFFF
                | exponent << 23
                | u32::from(bits >> 63 == 1) << 31;
            out.extend_from_slice(&float.to_le_bytes());
        }
        out.truncate(length);
        out
    }

    /// Text, records and noise in turn, as in a block of many files.
    pub fn mixed(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            let size = self.random.spread(512, 64 << 10);
            out.append(&mut match self.random.below(4) {
                0 => self.records(size),
                1 => self.noise(size),
                _ => self.text(size),
            });
        }
        out.truncate(length);
        out
    }
}

/// A heap page as PostgreSQL lays it out, full of rows. A later version of a page has another LSN and a few other rows.
pub fn page(contents: &Contents, number: u64, version: u64) -> Vec<u8> {
    const ROW_BYTES: u64 = 128;
    const FIRST_ROW: usize = 512;
    let mut out = Vec::with_capacity(PAGE_BYTES);
    out.extend_from_slice(&(number * 4096 + version * 1_000_003).to_le_bytes());
    out.extend_from_slice(&[0, 0, 0, 0, 0xF0, 0, 0, 2, 0, 32, 4, 32, 0, 0, 0, 0]);
    out.resize(FIRST_ROW, 0);
    let changed = Random::new(number * 31 + version).below(60) as u64;
    let mut row = 0;
    while out.len() + 128 <= PAGE_BYTES {
        let version = if version > 0 && (row == changed || row == changed / 2) { version } else { 0 };
        let key = number * 1000 + row;
        let mut random = Random::new(key * 17 + version);
        let start = out.len();
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&(random.bits() % 1_000_000).to_le_bytes());
        out.extend_from_slice(&random.bits().to_le_bytes());
        while out.len() < start + usize::try_from(ROW_BYTES).unwrap_or(128) - 32 {
            let word = contents.words.get(random.below(WORDS)).map(String::as_str).unwrap_or_default();
            out.extend_from_slice(word.as_bytes());
            out.push(b' ');
        }
        out.resize(start + usize::try_from(ROW_BYTES).unwrap_or(128), 0);
        row += 1;
    }
    out.resize(PAGE_BYTES, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_the_same_for_a_seed_and_have_the_length_asked() {
        for length in [0, 1, 1000, 100_000] {
            let all = |seed| {
                let mut contents = Contents::new(seed);
                [contents.text(length), contents.records(length), contents.vectors(length), contents.mixed(length)]
            };
            assert_eq!(all(1), all(1));
            assert!(all(1).iter().all(|bytes| bytes.len() == length));
        }
    }

    #[test]
    fn a_later_version_of_a_page_differs_in_little() {
        let contents = Contents::new(1);
        let (old, new) = (page(&contents, 5, 0), page(&contents, 5, 1));
        assert_eq!((old.len(), new.len()), (PAGE_BYTES, PAGE_BYTES));
        let changed = old.iter().zip(&new).filter(|(a, b)| a != b).count();
        assert!((1..600).contains(&changed), "{changed} bytes");
        assert_eq!((old[18], old[19]), (4, 32));
    }
}
