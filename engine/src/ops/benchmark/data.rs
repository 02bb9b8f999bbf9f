//! Bytes to measure on, the same on every host.

/// As in PostgreSQL.
const PAGE_BYTES: usize = 8192;
const PAGE_HEADER_BYTES: usize = 24;
const ROW_BYTES: usize = 136;
/// Of a row, what follows its words are zeros.
const ROW_WORDS_BYTES: usize = 96;
const WORDS: u32 = 2000;
const SYLLABLES: [&str; 16] =
    ["al", "be", "con", "da", "er", "fi", "get", "in", "ko", "lo", "me", "no", "per", "re", "set", "ta"];
const BETWEEN: [&str; 8] = [" ", " ", "_", ".", "(", ");\n    ", ", ", " = "];

/// Bytes without any order, from a hash that never ends.
pub(super) struct Noise(blake3::OutputReader);

impl Noise {
    /// The bytes that `seed` names.
    pub(super) fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    /// Fills a buffer: photographs, archives, ciphertext.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }

    fn below(&mut self, bound: u32) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        // The rest is even enough for words.
        (u32::from_le_bytes(bytes) % bound.max(1)) as usize
    }
}

/// Made of one vocabulary.
pub(super) struct Contents {
    noise: Noise,
    words: Vec<String>,
}

impl Contents {
    pub(super) fn new() -> Self {
        let mut noise = Noise::new("words");
        let mut word = || -> String {
            let syllables = 1 + noise.below(3);
            (0..syllables).filter_map(|_| SYLLABLES.get(noise.below(16))).copied().collect()
        };
        let words = (0..WORDS).map(|_| word()).collect();
        Self { noise, words }
    }

    /// Few words are frequent and many are rare.
    fn push_word(&mut self, out: &mut Vec<u8>) {
        let limit = 1 + u32::try_from(self.noise.below(WORDS)).unwrap_or(0);
        let at = self.noise.below(limit);
        out.extend_from_slice(self.words.get(at).map(String::as_bytes).unwrap_or_default());
    }

    /// Something like source text.
    pub(super) fn text(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 64);
        while out.len() < length {
            self.push_word(&mut out);
            let between = BETWEEN.get(self.noise.below(8)).copied().unwrap_or_default();
            out.extend_from_slice(between.as_bytes());
        }
        out.truncate(length);
        out
    }

    /// Something like the heap of a database: pages full of rows with keys, numbers and words.
    pub(super) fn pages(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + PAGE_BYTES);
        while out.len() < length {
            let page = out.len();
            out.resize(page + PAGE_HEADER_BYTES, 0);
            while out.len() + ROW_BYTES <= page + PAGE_BYTES {
                let row = out.len();
                out.extend_from_slice(&(row as u64).to_le_bytes());
                let mut number = [0; 8];
                self.noise.fill(&mut number);
                out.extend_from_slice(&number);
                while out.len() < row + ROW_WORDS_BYTES {
                    self.push_word(&mut out);
                    out.push(b' ');
                }
                out.resize(row + ROW_BYTES, 0);
            }
            out.resize(page + PAGE_BYTES, 0);
        }
        out.truncate(length);
        out
    }

    /// What no codec makes smaller.
    pub(super) fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.noise.fill(&mut out);
        out
    }
}
