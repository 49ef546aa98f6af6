//! All keys of a person, wrapped as one under a key of the tenant's.
//!
//! A row says what is in it before anything is opened: its form, the epoch of the tenant key it is
//! wrapped under, and for each class since which epoch a rotation has not been at its key. Behind
//! that stand the keys themselves, in the order of the classes, under AES-256-GCM-SIV. The nonce is
//! the person's number: the same keys for the same person give the same row, and no chance is asked.
//! What stands in the open, and whose row it is, goes into the tag. A row of the older form is a
//! list of single keys, each wrapped for itself; a rotation makes it one of the newer.

#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use super::key::{Key, Siv, WrongKey};

/// A list of single wrapped keys, as the second schema had them in rows.
const PIECES: u8 = 0;
/// Wrapped as one.
const WHOLE: u8 = 1;

/// What stands before the classes: form, epoch, how many.
const FRONT: usize = 6;
/// A class and its epoch.
const CLASS: usize = 3;
const KEY: usize = 32;
/// A class and its key, in the older form.
const PIECE: usize = 41;

/// A key of the tenant's under which persons' are wrapped, set up once for many.
pub struct Wrapping {
    pub epoch: u32,
    single: Key,
    whole: Siv,
}

/// A person's key of one class.
pub struct Held {
    pub class: u8,
    /// The epoch in which a rotation, or a replacement, was last at it.
    pub at: u32,
    pub key: Key,
}

impl Wrapping {
    pub fn new(epoch: u32, tenant_key: &Key) -> Self {
        let whole = tenant_key.derived(b"persons' keys").siv();
        Self { epoch, single: tenant_key.duplicate(), whole }
    }

    /// One key by itself, as it is kept when another has taken its place.
    pub(crate) fn single(&self, key: &Key) -> Vec<u8> {
        self.single.wrap(key).to_vec()
    }

    /// All of a person's keys.
    pub fn wrap(&self, person: u64, held: &[Held]) -> Vec<u8> {
        let size = FRONT + held.len() * (CLASS + KEY) + Siv::TAG;
        let mut row = Vec::with_capacity(size);
        row.push(WHOLE);
        row.extend(self.epoch.to_be_bytes());
        row.push(u8::try_from(held.len()).unwrap_or(u8::MAX));
        for one in held {
            row.push(one.class);
            row.extend(u16::try_from(one.at).unwrap_or(u16::MAX).to_be_bytes());
        }
        let front = row.len();
        held.iter().for_each(|one| row.extend_from_slice(one.key.expose()));
        self.whole.seal(nonce(person), front, &mut row);
        row
    }
}

fn nonce(person: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.iter_mut().zip(person.to_be_bytes()).for_each(|(to, byte)| *to = byte);
    nonce
}

/// A row taken apart, as far as it can be without a key.
enum Row<'a> {
    Pieces(&'a [u8]),
    Whole { epoch: u32, classes: &'a [u8], front: usize },
}

impl<'a> Row<'a> {
    fn read(row: &'a [u8]) -> Option<Self> {
        let (form, rest) = row.split_first()?;
        match *form {
            PIECES => rest.len().is_multiple_of(PIECE).then_some(Self::Pieces(rest)),
            WHOLE => {
                let (epoch, rest) = rest.split_first_chunk()?;
                let (count, rest) = rest.split_first()?;
                let count = usize::from(*count);
                let whole = rest.len() == count * (CLASS + KEY) + Siv::TAG;
                let classes = rest.get(..count * CLASS).filter(|_| whole)?;
                let front = FRONT + classes.len();
                Some(Self::Whole { epoch: u32::from_be_bytes(*epoch), classes, front })
            }
            _ => None,
        }
    }
}

/// The epoch of the tenant key that a row hangs on, where it says.
pub fn epoch(row: &[u8]) -> Option<u32> {
    match Row::read(row)? {
        Row::Pieces(_) => None,
        Row::Whole { epoch, .. } => Some(epoch),
    }
}

/// The classes of which a row has keys, for whoever has none to open it.
pub(crate) fn classes(row: &[u8]) -> Vec<u8> {
    match Row::read(row) {
        Some(Row::Pieces(pieces)) => {
            pieces.chunks_exact(PIECE).flat_map(<[u8]>::first).copied().collect()
        }
        Some(Row::Whole { classes, .. }) => places(classes).map(|(class, _)| class).collect(),
        None => Vec::new(),
    }
}

/// Classes with their epochs.
fn places(classes: &[u8]) -> impl Iterator<Item = (u8, u32)> + '_ {
    let (places, _) = classes.as_chunks::<CLASS>();
    places.iter().map(|[class, at @ ..]| (*class, u32::from(u16::from_be_bytes(*at))))
}

/// The keys in a row.
///
/// # Errors
/// Where it hangs on none of these, is another person's or was changed.
pub fn open(row: &[u8], person: u64, under: &[Wrapping]) -> Result<Vec<Held>, WrongKey> {
    match Row::read(row).ok_or(WrongKey)? {
        Row::Pieces(pieces) => {
            let pieces = pieces.chunks_exact(PIECE).filter_map(<[u8]>::split_first);
            pieces.map(|(class, wrapped)| piece(*class, wrapped, under)).collect()
        }
        Row::Whole { epoch, classes, front } => {
            let under = under.iter().find(|key| key.epoch == epoch).ok_or(WrongKey)?;
            let mut opened = Zeroizing::new(row.to_vec());
            let keys = under.whole.open(nonce(person), front, &mut opened)?;
            let (keys, _) = keys.as_chunks::<KEY>();
            let held = places(classes).zip(keys).map(|((class, at), key)| Held {
                class,
                at,
                key: Key::copied(key),
            });
            Ok(held.collect())
        }
    }
}

fn piece(class: u8, wrapped: &[u8], under: &[Wrapping]) -> Result<Held, WrongKey> {
    let found = under.iter().find_map(|key| Some((key.epoch, key.single.unwrap(wrapped).ok()?)));
    found.map(|(at, key)| Held { class, at, key }).ok_or(WrongKey)
}

/// A row wrapped anew under the first of these, if a rotation has not been at all of it.
///
/// # Errors
/// As [`open`].
pub fn anew(row: &[u8], person: u64, under: &[Wrapping]) -> Result<Option<Vec<u8>>, WrongKey> {
    let Some(newest) = under.first() else { return Err(WrongKey) };
    match Row::read(row).ok_or(WrongKey)? {
        Row::Pieces(_) => {
            let mut held = open(row, person, under)?;
            held.iter_mut().for_each(|one| one.at = newest.epoch);
            Ok(Some(newest.wrap(person, &held)))
        }
        Row::Whole { epoch, classes, .. }
            if epoch == newest.epoch && places(classes).all(|(_, at)| at == epoch) =>
        {
            Ok(None)
        }
        Row::Whole { epoch, front, .. } => {
            let was = under.iter().find(|key| key.epoch == epoch).ok_or(WrongKey)?;
            let mut row = row.to_vec();
            was.whole.open(nonce(person), front, &mut row)?;
            // From here the keys lie in the row, which is nobody else's, until they are sealed again.
            let at = u16::try_from(newest.epoch).unwrap_or(u16::MAX).to_be_bytes();
            if let Some((before, classes)) =
                row.get_mut(..front).and_then(|row| row.split_at_mut_checked(FRONT))
            {
                before
                    .iter_mut()
                    .skip(1)
                    .zip(newest.epoch.to_be_bytes())
                    .for_each(|(to, byte)| *to = byte);
                let (classes, _) = classes.as_chunks_mut::<CLASS>();
                classes.iter_mut().for_each(|[_, to @ ..]| *to = at);
            }
            row.truncate(row.len() - Siv::TAG);
            newest.whole.seal(nonce(person), front, &mut row);
            Ok(Some(row))
        }
    }
}
