//! Tiles (C2SP tlog-tiles): a log's tree in files of 256 hashes, of which each is the root of a
//! whole tile one level below.

/// How many hashes a full tile has.
pub const WIDTH: u64 = 256;

/// Which tile, and how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    pub level: u8,
    pub index: u64,
    /// How many hashes, 1 to 256; or entries, in a bundle.
    pub width: u64,
}

impl Tile {
    /// The path of its hashes: `tile/<level>/<index>[.p/<width>]`.
    pub fn path(self) -> String {
        format!("tile/{}/{}", self.level, self.tail())
    }

    /// The path of the bundle of the same entries: `tile/entries/<index>[.p/<width>]`.
    pub fn bundle_path(self) -> String {
        format!("tile/entries/{}", self.tail())
    }

    pub fn is_full(self) -> bool {
        self.width == WIDTH
    }

    /// The first entry below it.
    pub fn first(self) -> u64 {
        self.index.saturating_mul(span(self.level)).saturating_mul(WIDTH)
    }

    fn tail(self) -> String {
        let index = number(self.index);
        if self.is_full() { index } else { format!("{index}.p/{}", self.width) }
    }
}

/// How many entries stand under one hash of a level.
pub fn span(level: u8) -> u64 {
    1_u64.checked_shl(8 * u32::from(level)).unwrap_or(u64::MAX)
}

/// How many whole hashes a level has at a size.
pub fn hashes(size: u64, level: u8) -> u64 {
    size / span(level)
}

/// All tiles of a tree of this size, level by level, each as wide as it is then.
pub fn all(size: u64) -> impl Iterator<Item = Tile> {
    (0..8_u8).flat_map(move |level| of_level(size, level))
}

/// The tiles of one level.
pub fn of_level(size: u64, level: u8) -> impl Iterator<Item = Tile> {
    let hashes = hashes(size, level);
    let tile = move |index| Tile { level, index, width: WIDTH.min(hashes - index * WIDTH) };
    (0..hashes.div_ceil(WIDTH)).map(tile)
}

/// What a path below `tile/` names: hashes, or a bundle of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Hashes(Tile),
    Bundle(Tile),
}

/// Reads a path as [`Tile::path`] and [`Tile::bundle_path`] write it, without `tile/`.
pub fn named(path: &str) -> Option<Named> {
    let (level, tail) = path.split_once('/')?;
    let (index, width) = match tail.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|width| *width < WIDTH)?),
        None => (tail, WIDTH),
    };
    let read: String = index.split('/').map(|group| group.trim_start_matches('x')).collect();
    let index = read.parse().ok()?;
    let named = match level {
        "entries" => Named::Bundle(Tile { level: 0, index, width }),
        level => {
            let level = level.parse().ok().filter(|level| *level < 8)?;
            Named::Hashes(Tile { level, index, width })
        }
    };
    // One tile has one path.
    let written = match named {
        Named::Hashes(tile) => tile.path(),
        Named::Bundle(tile) => tile.bundle_path(),
    };
    (width > 0 && written.strip_prefix("tile/") == Some(path)).then_some(named)
}

/// An index in groups of three digits: 1234067 is `x001/x234/067`.
fn number(index: u64) -> String {
    let last = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    let mut path = last;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}
