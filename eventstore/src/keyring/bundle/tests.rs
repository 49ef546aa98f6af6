//! A person's keys come out of their row as they went in, for that person alone, and of no row that
//! was changed.

use zeroize::Zeroizing;

use super::{Held, PIECES, Wrapping, anew, classes, epoch, open};
use crate::keyring::key::Key;

fn key(byte: u8) -> Key {
    Key::from_bytes(Zeroizing::new([byte; 32]))
}

fn held() -> Vec<Held> {
    [1, 2, 4].map(|class| Held { class, at: 1, key: key(class) }).into()
}

/// Under the keys of the second epoch and the first.
fn wrappings() -> [Wrapping; 2] {
    [Wrapping::new(2, &key(102)), Wrapping::new(1, &key(101))]
}

/// A row as the second schema had it.
fn older() -> Vec<u8> {
    let single = |class: u8| [vec![class], key(101).wrap(&key(class)).to_vec()].concat();
    [vec![PIECES], single(1), single(2), single(4)].concat()
}

fn opened(row: &[u8], person: u64) -> Option<Vec<(u8, u32, u8)>> {
    let held = open(row, person, &wrappings()).ok()?;
    Some(held.iter().map(|one| (one.class, one.at, one.key.expose()[0])).collect())
}

#[test]
fn keys_come_out_as_they_went_in() {
    let [_, first] = wrappings();
    let row = first.wrap(7, &held());
    assert_eq!((classes(&row), epoch(&row)), (vec![1, 2, 4], Some(1)));
    assert_eq!(opened(&row, 7).unwrap(), [(1, 1, 1), (2, 1, 2), (4, 1, 4)]);
    assert_eq!(row, first.wrap(7, &held()), "no chance is asked");
}

#[test]
fn a_row_is_anothers_or_changed_and_nothing_comes_out() {
    let [_, first] = wrappings();
    let row = first.wrap(7, &held());
    assert_eq!(opened(&row, 8), None);
    assert!(open(&row, 7, &[Wrapping::new(1, &key(103))]).is_err());
    for at in 0..row.len() {
        let mut changed = row.clone();
        changed[at] ^= 1;
        assert_eq!(opened(&changed, 7), None, "byte {at}");
        assert_eq!(opened(&row[..at], 7), None, "cut at {at}");
    }
}

#[test]
fn a_rotation_takes_a_row_on_once() {
    let [_, first] = wrappings();
    for row in [first.wrap(7, &held()), older()] {
        assert_eq!(classes(&row), [1, 2, 4]);
        assert_eq!(opened(&row, 7).unwrap(), [(1, 1, 1), (2, 1, 2), (4, 1, 4)]);
        let next = anew(&row, 7, &wrappings()).unwrap().unwrap();
        assert_eq!(epoch(&next), Some(2));
        assert_eq!(opened(&next, 7).unwrap(), [(1, 2, 1), (2, 2, 2), (4, 2, 4)]);
        let [second, _] = wrappings();
        assert_eq!(next, second.wrap(7, &open(&next, 7, &wrappings()).unwrap()));
        assert_eq!(anew(&next, 7, &wrappings()), Ok(None));
        assert!(open(&next, 7, &[first_alone()]).is_err(), "the key before opens it no more");
    }
}

fn first_alone() -> Wrapping {
    let [_, first] = wrappings();
    first
}

/// A replacement wraps all anew and has been at one of them: the others still wait for it.
#[test]
fn a_row_whose_classes_differ_is_taken_on() {
    let [second, _] = wrappings();
    let mut held = held();
    held[0].at = 2;
    let row = second.wrap(7, &held);
    let next = anew(&row, 7, &wrappings()).unwrap().unwrap();
    assert_eq!(opened(&next, 7).unwrap(), [(1, 2, 1), (2, 2, 2), (4, 2, 4)]);
}
