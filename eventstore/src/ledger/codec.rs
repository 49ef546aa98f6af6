//! The bytes of an entry, as they are hashed and stored. Frozen.
//!
//! All numbers are big-endian:
//!
//! ```text
//! 1   format, always 1
//! 8   position
//! 8   recorded_at, microseconds since 1970
//! 8   occurred_at, microseconds since 1970
//! 2   kind            2   version of the kind
//! 1   actor type (1 client, 2 staff, 3 support, 4 key, 5 system)   8   actor number
//! 16  cause, random for each append
//! 2   number of tags,  8 each
//! 2   number of seals, 32 each: SHA-256 of the seal's bytes, in order of index
//! ... body, canonical JSON (RFC 8785), to the end
//! ```

use domain::entry::Tagged;
use domain::event::DecodeError;
use domain::ids::ActorId;
use domain::{Actor, Event, Handle, Kind, Position, Recorded, Tag};
use jiff::Timestamp;

use crate::tree::Hash;

const FORMAT: u8 = 1;

/// The largest entry, in bytes: what fits a tile's entry bundle with room to spare.
pub const LARGEST: usize = 60 * 1024;

/// Bytes for which most bodies have room.
const USUAL_BODY: usize = 640;

/// An entry with everything its bytes hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub recorded: Recorded,
    pub version: u16,
    pub cause: [u8; 16],
    pub tags: Vec<Tag>,
    pub seal_hashes: Vec<Hash>,
}

/// What surrounds the event when it is written.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub position: Position,
    pub recorded_at: Timestamp,
    pub occurred_at: Timestamp,
    pub actor: Actor,
    pub cause: [u8; 16],
}

/// Why bytes are no entry.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("the entry's bytes are not in the format they claim")]
    Malformed,
    #[error(transparent)]
    Body(#[from] DecodeError),
    #[error("an entry would have {0} bytes, more than {LARGEST}")]
    TooLarge(usize),
    #[error("an event could not be written")]
    Unwritable(#[from] serde_json::Error),
}

/// Writes an entry.
///
/// # Errors
/// Where it would be larger than [`LARGEST`].
pub fn encode(
    header: &Header,
    tagged: &Tagged,
    seal_hashes: &[Hash],
) -> Result<Vec<u8>, CodecError> {
    let event = &tagged.draft.event;
    let lists = 8 * tagged.tags.len() + 32 * seal_hashes.len();
    let mut bytes = Vec::with_capacity(64 + lists + USUAL_BODY);
    bytes.push(FORMAT);
    bytes.extend(header.position.0.to_be_bytes());
    bytes.extend(header.recorded_at.as_microsecond().to_be_bytes());
    bytes.extend(header.occurred_at.as_microsecond().to_be_bytes());
    bytes.extend(event.kind().0.to_be_bytes());
    bytes.extend(event.version().to_be_bytes());
    let (actor, number) = actor_code(header.actor);
    bytes.push(actor);
    bytes.extend(number.to_be_bytes());
    bytes.extend(header.cause);
    bytes.extend(count(tagged.tags.len())?.to_be_bytes());
    tagged.tags.iter().for_each(|tag| bytes.extend(tag.0.to_be_bytes()));
    bytes.extend(count(seal_hashes.len())?.to_be_bytes());
    seal_hashes.iter().for_each(|hash| bytes.extend(hash));
    event.write_body(&mut bytes)?;
    if bytes.len() > LARGEST { Err(CodecError::TooLarge(bytes.len())) } else { Ok(bytes) }
}

fn count(length: usize) -> Result<u16, CodecError> {
    u16::try_from(length).map_err(|_| CodecError::TooLarge(length))
}

fn actor_code(actor: Actor) -> (u8, u64) {
    match actor {
        Actor::Client(handle) => (1, handle.0),
        Actor::Staff(id) => (2, id.0),
        Actor::Support(id) => (3, id.0),
        Actor::Key(id) => (4, id.0),
        Actor::System => (5, 0),
    }
}

fn actor(code: u8, number: u64) -> Option<Actor> {
    match code {
        1 => Some(Actor::Client(Handle(number))),
        2 => Some(Actor::Staff(ActorId(number))),
        3 => Some(Actor::Support(ActorId(number))),
        4 => Some(Actor::Key(ActorId(number))),
        5 => Some(Actor::System),
        _ => None,
    }
}

/// Reads an entry.
///
/// # Errors
/// Where the bytes are in another format, or hold a kind or version this program does not know.
pub fn decode(bytes: &[u8]) -> Result<Entry, CodecError> {
    let mut reader = Reader(bytes);
    let (header, kind, version) = header(&mut reader).ok_or(CodecError::Malformed)?;
    let (tags, seal_hashes) = lists(&mut reader).ok_or(CodecError::Malformed)?;
    let event = domain::event::decode(kind, version, reader.0)?;
    let recorded = Recorded {
        position: header.position,
        recorded_at: header.recorded_at,
        occurred_at: header.occurred_at,
        actor: header.actor,
        event,
    };
    Ok(Entry { recorded, version, cause: header.cause, tags, seal_hashes })
}

/// The event of an entry, for who needs nothing else of it.
///
/// # Errors
/// As [`decode`].
pub fn decode_event(bytes: &[u8]) -> Result<Event, CodecError> {
    decode(bytes).map(|entry| entry.recorded.event)
}

/// Reads only the tags, for those who need no more, and also of an event that this program does not know.
///
/// # Errors
/// Where the bytes are in another format.
pub fn decode_tags(bytes: &[u8]) -> Result<Vec<Tag>, CodecError> {
    let mut reader = Reader(bytes);
    header(&mut reader).ok_or(CodecError::Malformed)?;
    lists(&mut reader).map(|(tags, _)| tags).ok_or(CodecError::Malformed)
}

fn header(reader: &mut Reader<'_>) -> Option<(Header, Kind, u16)> {
    if reader.take::<1>()? != [FORMAT] {
        return None;
    }
    let position = Position(u64::from_be_bytes(reader.take()?));
    let recorded_at = instant(reader)?;
    let occurred_at = instant(reader)?;
    let kind = Kind(u16::from_be_bytes(reader.take()?));
    let version = u16::from_be_bytes(reader.take()?);
    let [code] = reader.take()?;
    let actor = actor(code, u64::from_be_bytes(reader.take()?))?;
    let cause = reader.take()?;
    Some((Header { position, recorded_at, occurred_at, actor, cause }, kind, version))
}

fn instant(reader: &mut Reader<'_>) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::from_be_bytes(reader.take()?)).ok()
}

fn lists(reader: &mut Reader<'_>) -> Option<(Vec<Tag>, Vec<Hash>)> {
    let tags = u16::from_be_bytes(reader.take()?);
    let tags = (0..tags)
        .map(|_| reader.take().map(|tag| Tag(u64::from_be_bytes(tag))))
        .collect::<Option<_>>()?;
    let seals = u16::from_be_bytes(reader.take()?);
    let seals = (0..seals).map(|_| reader.take()).collect::<Option<_>>()?;
    Some((tags, seals))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use domain::catalogue::GroupDefined;
    use domain::entry::Draft;

    use super::*;

    fn sample() -> (Header, Tagged) {
        let header = Header {
            position: Position(7),
            recorded_at: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
            occurred_at: Timestamp::UNIX_EPOCH,
            actor: Actor::Key(ActorId(3)),
            cause: [9; 16],
        };
        let draft = Draft::now(GroupDefined { name: "Hall".to_owned() });
        (header, Tagged { draft, tags: vec![Tag::policy()] })
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let (header, tagged) = sample();
        let entry = decode(&encode(&header, &tagged, &[[5; 32]]).unwrap()).unwrap();
        assert_eq!(entry.recorded.event, tagged.draft.event);
        assert_eq!(entry.recorded.actor, header.actor);
        assert_eq!(decode_tags(&encode(&header, &tagged, &[]).unwrap()).unwrap(), entry.tags);
        assert_eq!((entry.tags, entry.seal_hashes), (tagged.tags, vec![[5; 32]]));
    }

    #[test]
    fn half_an_entry_is_refused() {
        let (header, tagged) = sample();
        let bytes = encode(&header, &tagged, &[]).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn the_bytes_of_an_entry_are_frozen() {
        let (header, tagged) = sample();
        let bytes = encode(&header, &tagged, &[]).unwrap();
        let leaf = domain::ids::Hash(crate::tree::leaf_hash(&bytes)).to_string();
        assert_eq!(leaf, "ded00d543df2e259f991198c5b9b649d240f4226081ac6107d9d7668dff8cb57");
    }
}
