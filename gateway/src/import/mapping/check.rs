//! What a mapping must be besides well-formed: keys that fit each other, columns that exist.

use domain::catalogue::Length;

use super::{EndMap, LengthSpec, Mapping, MappingError, Unfit};
use crate::import::value::{Choice, Count, Template};

impl Mapping {
    /// Checks what one key alone cannot show.
    pub(super) fn check(&self) -> Result<(), MappingError> {
        let unfit = |key, why| Err(MappingError::Unfit { key, why });
        match &self.end {
            Some(end) if end.ways() != 1 => return unfit("end", Unfit::OneEnd),
            Some(end) if end.nights.is_some() && end.time.is_none() => {
                return unfit("end.time", Unfit::NoTime);
            }
            None if self.fixed_minutes().is_none() => return unfit("service.length", Unfit::NoEnd),
            Some(_) | None => (),
        }
        let booked = &self.booked;
        let ways =
            [booked.date.is_some(), booked.days_before.is_some(), booked.hours_before.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return unfit("booked", Unfit::OneBooking);
        }
        if self.person.fields.keys().any(|field| !field.is_asked()) {
            return unfit("person.fields", Unfit::NotAsked);
        }
        if self.booking.price.is_some() && self.booking.currency.is_none() {
            return unfit("booking.currency", Unfit::NoCurrency);
        }
        Ok(())
    }

    /// How long bookings of the file's services last.
    pub(in crate::import) fn length(&self) -> Length {
        const YEAR: u32 = 366 * 24 * 60;
        let nights = self.end.as_ref().is_some_and(|end| end.nights.is_some());
        match (self.service.length, self.fixed_minutes()) {
            (Some(LengthSpec::Nights), _) => Length::Nights { most: 365 },
            (Some(LengthSpec::Between { from, to }), _) => {
                Length::Between { from_minutes: from, to_minutes: to }
            }
            (None, _) if nights => Length::Nights { most: 365 },
            (Some(LengthSpec::Minutes(_)) | None, Some(minutes)) => Length::Fixed { minutes },
            (Some(LengthSpec::Any | LengthSpec::Minutes(_)) | None, _) => {
                Length::Between { from_minutes: 1, to_minutes: YEAR }
            }
        }
    }

    /// The length that the mapping itself fixes.
    pub(in crate::import) fn fixed_minutes(&self) -> Option<u32> {
        let ends_after = self.end.as_ref().and_then(|end| end.minutes.as_ref());
        match self.service.length {
            Some(LengthSpec::Minutes(minutes)) => Some(minutes),
            Some(LengthSpec::Any | LengthSpec::Nights | LengthSpec::Between { .. }) => None,
            None => ends_after.and_then(Count::constant),
        }
    }

    /// Every template with the key that holds it.
    pub(in crate::import) fn templates(&self) -> Vec<(&'static str, &Template)> {
        let (status, booking, person) = (&self.status, &self.booking, &self.person);
        let single = [
            ("row.key", self.row.key.as_ref()),
            ("service.name", Some(self.service.name.template())),
            ("resource.name", Some(self.resource.name.template())),
            ("resource.group", Some(self.resource.group.template())),
            ("start.date", Some(&self.start.date)),
            ("start.time", self.start.time.as_ref()),
            ("end.date", self.end.as_ref().and_then(|end| end.date.as_ref())),
            ("end.time", self.end.as_ref().and_then(|end| end.time.as_ref())),
            ("booked.date", self.booked.date.as_ref()),
            ("booked.time", self.booked.time.as_ref()),
            ("status.is", Some(status.is.template())),
            ("status.date", status.date.as_ref()),
            ("status.time", status.time.as_ref()),
            ("status.by", status.by.as_ref().map(Choice::template)),
            ("status.reason", status.reason.as_ref().map(Choice::template)),
            ("booking.channel", booking.channel.as_ref().map(Choice::template)),
            ("booking.price", booking.price.as_ref()),
            ("booking.currency", booking.currency.as_ref()),
            ("person.same", person.same.as_ref()),
            ("person.reference", person.reference.as_ref()),
            ("person.synthetic", person.synthetic.as_ref()),
        ];
        let fields = person.fields.values().map(|value| ("person.fields", value.template()));
        let counts = self.counts().into_iter().filter_map(|(key, count)| Some((key, count?)));
        let terms = counts.flat_map(|(key, count)| count.templates().map(move |term| (key, term)));
        let single = single.into_iter().filter_map(|(key, template)| Some((key, template?)));
        single.chain(fields).chain(terms).collect()
    }

    fn counts(&self) -> [(&'static str, Option<&Count>); 7] {
        let end = self.end.as_ref();
        [
            ("resource.units", self.resource.units.as_ref()),
            ("end.nights", end.and_then(|end| end.nights.as_ref())),
            ("end.minutes", end.and_then(|end| end.minutes.as_ref())),
            ("booked.days_before", self.booked.days_before.as_ref()),
            ("booked.hours_before", self.booked.hours_before.as_ref()),
            ("booking.party", self.booking.party.as_ref()),
            ("booking.changes", self.booking.changes.as_ref()),
        ]
    }
}

impl EndMap {
    /// How many ways it knows to tell when a booking ends.
    fn ways(&self) -> usize {
        let ways = [self.date.is_some(), self.nights.is_some(), self.minutes.is_some()];
        ways.into_iter().filter(|way| *way).count()
    }
}
