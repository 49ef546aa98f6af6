//! Loaded dice: numbers that look random and come the same each time, for samples and
//! measurements. Nothing secret is ever made of them.

/// The generator `SplitMix64`, from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % sides.max(1)
    }

    /// As [`Self::roll`], for spans of time.
    pub(crate) fn number(&mut self, sides: u32) -> i64 {
        i64::try_from(self.roll(u64::from(sides))).unwrap_or(0)
    }

    /// One of several things.
    pub(crate) fn pick<T: Copy>(&mut self, things: &[T]) -> Option<T> {
        let sides = u64::try_from(things.len()).ok()?;
        things.get(usize::try_from(self.roll(sides)).ok()?).copied()
    }
}
