//! Numbers that are the same on every machine and in every release: measurements of two days must be of equal data.

/// xorshift64*.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that `seed` names.
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero, and neighbouring seeds would begin alike.
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            random.bits();
        }
        random
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let high = (u128::from(self.bits()) * bound as u128) >> 64;
        usize::try_from(high).unwrap_or(0)
    }

    /// A number from `least` to `most` in which small ones are as likely as large ones in orders of magnitude.
    pub fn spread(&mut self, least: usize, most: usize) -> usize {
        let doublings = (most / least.max(1)).max(1).ilog2() as usize + 1;
        let scale = least << self.below(doublings);
        (scale + self.below(scale.max(1))).min(most)
    }

    /// Fills a buffer with what no compressor makes smaller.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            let bytes = self.bits().to_le_bytes();
            part.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_must_not_change() {
        let mut random = Random::new(1);
        assert_eq!([random.bits(), random.bits()], [10_437_328_418_169_017_477, 11_378_009_173_764_233_326]);
        assert!((0..1000).all(|_| random.below(7) < 7 && (100..=900).contains(&random.spread(100, 900))));
        assert_eq!(random.below(0), 0);
    }
}
