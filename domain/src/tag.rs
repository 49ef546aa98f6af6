//! Tags: what a decision may depend on, as integers ordered so that neighbours share pages.
//!
//! The kind stands in the top bits, a number of the tenant's own below it. A day is kind, date,
//! resource in that order: the weeks that people book lie together in the index.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::ids::{BookingId, ConsentId, FenceId, RegistrationId, ResourceId, ServiceId};

/// What a decision may depend on, in 63 bits (SQLite and PostgreSQL have signed integers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag(pub u64);

const NUMBER_BITS: u32 = 56;
const RESOURCE_BITS: u32 = 36;
const FIRST_DATE: Date = Date::constant(1, 1, 1);

/// The kinds of tags. Their numbers are frozen in every entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TagKind {
    Booking,
    Day,
    Service,
    Resource,
    Policy,
    Fence,
    Consent,
    Registration,
    Group,
    Ledger,
    Standing,
}

impl TagKind {
    const ALL: [Self; 11] = [
        Self::Booking,
        Self::Day,
        Self::Service,
        Self::Resource,
        Self::Policy,
        Self::Fence,
        Self::Consent,
        Self::Registration,
        Self::Group,
        Self::Ledger,
        Self::Standing,
    ];

    fn code(self) -> u64 {
        match self {
            Self::Booking => 1,
            Self::Day => 2,
            Self::Service => 3,
            Self::Resource => 4,
            Self::Policy => 5,
            Self::Fence => 6,
            Self::Consent => 7,
            Self::Registration => 8,
            Self::Group => 9,
            Self::Ledger => 10,
            Self::Standing => 11,
        }
    }

    /// Every tag of this kind lies in this range.
    pub fn range(self) -> std::ops::RangeInclusive<Tag> {
        let first = self.code() << NUMBER_BITS;
        Tag(first)..=Tag(first | number_mask())
    }
}

fn number_mask() -> u64 {
    (1 << NUMBER_BITS) - 1
}

impl Tag {
    fn of(kind: TagKind, number: u64) -> Self {
        Self((kind.code() << NUMBER_BITS) | (number & number_mask()))
    }

    pub fn booking(id: BookingId) -> Self {
        Self::of(TagKind::Booking, id.0)
    }

    /// One resource on one UTC day.
    pub fn day(resource: ResourceId, date: Date) -> Self {
        let days = FIRST_DATE.until(date).map_or(0, |span| span.get_days());
        let days = u64::try_from(days).unwrap_or(0);
        Self::of(TagKind::Day, (days << RESOURCE_BITS) | (resource.0 & ((1 << RESOURCE_BITS) - 1)))
    }

    pub fn service(id: ServiceId) -> Self {
        Self::of(TagKind::Service, id.0)
    }

    pub fn resource(id: ResourceId) -> Self {
        Self::of(TagKind::Resource, id.0)
    }

    pub fn group(id: crate::ids::GroupId) -> Self {
        Self::of(TagKind::Group, id.0)
    }

    pub fn policy() -> Self {
        Self::of(TagKind::Policy, 0)
    }

    /// The first 56 bits of the fence's id; the entry holds the whole.
    pub fn fence(id: FenceId) -> Self {
        let [a, b, c, d, e, f, g, ..] = id.0;
        Self::of(TagKind::Fence, u64::from_be_bytes([0, a, b, c, d, e, f, g]))
    }

    pub fn consent(id: ConsentId) -> Self {
        Self::of(TagKind::Consent, id.0)
    }

    pub fn registration(id: RegistrationId) -> Self {
        Self::of(TagKind::Registration, id.0)
    }

    /// How it stands with a registration: restricted, held. Apart from its own tag, for all of these
    /// are always at hand.
    pub fn standing(id: RegistrationId) -> Self {
        Self::of(TagKind::Standing, id.0)
    }

    pub fn ledger() -> Self {
        Self::of(TagKind::Ledger, 0)
    }

    /// The kind, or none for a number that is no tag.
    pub fn kind(self) -> Option<TagKind> {
        TagKind::ALL.into_iter().find(|kind| kind.code() == self.0 >> NUMBER_BITS)
    }

    /// The number below the kind.
    pub fn number(self) -> u64 {
        self.0 & number_mask()
    }

    /// The resource and date of a day tag.
    pub fn as_day(self) -> Option<(ResourceId, Date)> {
        if self.kind() != Some(TagKind::Day) {
            return None;
        }
        let days = i32::try_from(self.number() >> RESOURCE_BITS).ok()?;
        let date = FIRST_DATE.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
        Some((ResourceId(self.number() & ((1 << RESOURCE_BITS) - 1)), date))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_tag_tells_its_resource_and_date() {
        let date = jiff::civil::date(2026, 11, 20);
        assert_eq!(Tag::day(ResourceId(77), date).as_day(), Some((ResourceId(77), date)));
    }

    /// Whoever looks for what ends the use of keys reads both at once.
    #[test]
    fn the_ledger_s_own_tags_and_standing_lie_side_by_side() {
        let (own, standing) = (TagKind::Ledger.range(), TagKind::Standing.range());
        assert_eq!(own.end().0 + 1, standing.start().0);
    }

    #[test]
    fn days_are_ordered_by_date_first() {
        let early = Tag::day(ResourceId(9), jiff::civil::date(2026, 1, 1));
        let late = Tag::day(ResourceId(1), jiff::civil::date(2026, 1, 2));
        assert!(early < late);
    }
}
