//! Dates and times of a row: read in the mapping's formats, placed in its zone.

use domain::slot::{Slot, Zone};
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::{Span, Timestamp};

use super::mapping::{EndMap, Formats, Mapping};
use super::refusal::{Fault, Why};
use super::source::Row;
use super::value::{Count, Template};

/// A date as it was read: with its time of day, without, or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Instant(Timestamp),
    Local(DateTime),
    Date(Date),
}

/// How a moment stands in a row.
#[derive(Clone, Copy)]
struct Moment<'m> {
    date: &'m Template,
    format: &'m Formats,
    time: Option<&'m Template>,
    time_format: &'m Formats,
}

impl Moment<'_> {
    /// The date or instant, if the row has one; with the time of day, if it is told separately.
    fn reading(&self, row: &Row<'_>) -> Result<Option<Reading>, Fault> {
        let Some(text) = self.date.of(row) else { return Ok(None) };
        let reading = read_date(&text, self.format).ok_or_else(|| self.date.fault(Why::BadDate))?;
        let Reading::Date(date) = reading else { return Ok(Some(reading)) };
        Ok(Some(match time_of_day(row, self.time, self.time_format)? {
            Some(time) => Reading::Local(date.to_datetime(time)),
            None => reading,
        }))
    }

    /// The one instant of a moment that must be there, whole.
    fn instant(&self, row: &Row<'_>, zone: &Zone) -> Result<Timestamp, Fault> {
        match self.reading(row)? {
            None => Err(self.date.fault(Why::Missing)),
            Some(Reading::Instant(at)) => Ok(at),
            Some(Reading::Local(local)) => place(zone, local, self.date),
            Some(Reading::Date(_)) => Err(self.time.unwrap_or(self.date).fault(Why::Missing)),
        }
    }
}

/// When a row's booking takes place.
pub(super) fn slot(mapping: &Mapping, zone: &Zone, row: &Row<'_>) -> Result<Slot, Fault> {
    let start = &mapping.start;
    let moment = Moment {
        date: &start.date,
        format: &start.format,
        time: start.time.as_ref(),
        time_format: &start.time_format,
    };
    let from = moment.instant(row, zone)?;
    let (until, told_by) = match &mapping.end {
        Some(end) => until(end, zone, row, from)?,
        None => (later(from, mapping.fixed_minutes().unwrap_or(0))?, None),
    };
    let column = told_by.unwrap_or(&start.date);
    Slot::new(from, until).map_err(|error| column.fault(error.into()))
}

type Until<'m> = (Timestamp, Option<&'m Template>);

fn until<'m>(
    end: &'m EndMap,
    zone: &Zone,
    row: &Row<'_>,
    from: Timestamp,
) -> Result<Until<'m>, Fault> {
    if let Some(date) = &end.date {
        let (format, time_format) = (&end.format, &end.time_format);
        let moment = Moment { date, format, time: end.time.as_ref(), time_format };
        let at = moment.instant(row, zone)?;
        if end.past_midnight && at <= from {
            let next = zone.local(at).checked_add(Span::new().days(1));
            let next = next.map_err(|_| date.fault(Why::BadDate))?;
            return Ok((place(zone, next, date)?, Some(date)));
        }
        return Ok((at, Some(date)));
    }
    if let Some(minutes) = &end.minutes {
        return Ok((later(from, needed(minutes, row)?)?, minutes.templates().next()));
    }
    let nights = match &end.nights {
        Some(nights) => needed(nights, row)?,
        None => 0,
    };
    let column = end.nights.as_ref().and_then(|nights| nights.templates().next());
    let arrival = zone.local(from).date();
    let departure = arrival.checked_add(Span::new().days(i64::from(nights.min(10_000))));
    let departure = departure.map_err(|_| Fault::new(Why::BadDate))?;
    let local = match end.day_use {
        Some(day_use) if nights == 0 => day_use.on(arrival),
        Some(_) | None => {
            let time = time_of_day(row, end.time.as_ref(), &end.time_format)?;
            time.map(|time| departure.to_datetime(time))
        }
    };
    let local = local.ok_or_else(|| Fault::new(Why::Missing))?;
    let at = zone.instant(local).map_err(|error| Fault::new(error.into()))?;
    Ok((at, column))
}

/// When a row's booking was made.
pub(super) fn booked(
    mapping: &Mapping,
    zone: &Zone,
    row: &Row<'_>,
    slot: Slot,
) -> Result<Timestamp, Fault> {
    let booked = &mapping.booked;
    if let Some(date) = &booked.date {
        let (format, time_format) = (&booked.format, &booked.time_format);
        let moment = Moment { date, format, time: booked.time.as_ref(), time_format };
        return match moment.reading(row)? {
            None => Ok(slot.start()),
            Some(Reading::Instant(at)) => Ok(at),
            Some(Reading::Local(local)) => place(zone, local, date),
            // Somebody who books for today has booked by the time they come.
            Some(Reading::Date(date)) => Ok(noon(zone, date, slot.start()).min(slot.start())),
        };
    }
    if let Some(hours) = &booked.hours_before {
        let hours = i64::from(hours.of(row)?.unwrap_or(0).min(1_000_000));
        let at = slot.start().checked_sub(Span::new().hours(hours));
        return at.map_err(|_| Fault::new(Why::BadDate));
    }
    let days = match &booked.days_before {
        Some(days) => i64::from(days.of(row)?.unwrap_or(0).min(50_000)),
        None => return Ok(slot.start()),
    };
    let start = zone.local(slot.start());
    let day = start.date().checked_sub(Span::new().days(days));
    let day = day.map_err(|_| Fault::new(Why::BadDate))?;
    let time = time_of_day(row, booked.time.as_ref(), &booked.time_format)?;
    let local = day.to_datetime(time.unwrap_or_else(|| start.time()));
    // The time of day is derived, so a gap of the clock is no fault of the row.
    zone.instant_or_later(local).ok_or_else(|| Fault::new(Why::BadDate))
}

/// When a row's status was reached; `usual` where the row does not say.
///
/// A day without a time of day is the usual time if it falls on that day, else noon.
pub(super) fn reached(
    mapping: &Mapping,
    zone: &Zone,
    row: &Row<'_>,
    usual: Timestamp,
) -> Result<Timestamp, Fault> {
    let status = &mapping.status;
    let Some(date) = &status.date else { return Ok(usual) };
    let (format, time_format) = (&status.format, &status.time_format);
    let moment = Moment { date, format, time: status.time.as_ref(), time_format };
    match moment.reading(row)? {
        None => Ok(usual),
        Some(Reading::Instant(at)) => Ok(at),
        Some(Reading::Local(local)) => place(zone, local, date),
        Some(Reading::Date(date)) => Ok(noon(zone, date, usual)),
    }
}

/// Noon of a day, or the usual instant if it falls on that day.
fn noon(zone: &Zone, date: Date, usual: Timestamp) -> Timestamp {
    if zone.local(usual).date() == date {
        return usual;
    }
    zone.instant_or_later(date.at(12, 0, 0, 0)).unwrap_or(usual)
}

fn needed(count: &Count, row: &Row<'_>) -> Result<u32, Fault> {
    let column = || count.templates().flat_map(Template::columns).next();
    count.of(row)?.ok_or_else(|| Fault::new(Why::Missing).at(column()))
}

fn later(from: Timestamp, minutes: u32) -> Result<Timestamp, Fault> {
    let at = from.checked_add(Span::new().minutes(i64::from(minutes)));
    at.map_err(|_| Fault::new(Why::BadDate))
}

fn place(zone: &Zone, local: DateTime, told_by: &Template) -> Result<Timestamp, Fault> {
    zone.instant(local).map_err(|error| told_by.fault(error.into()))
}

fn time_of_day(
    row: &Row<'_>,
    time: Option<&Template>,
    formats: &Formats,
) -> Result<Option<Time>, Fault> {
    let Some(template) = time else { return Ok(None) };
    let Some(text) = template.of(row) else { return Ok(None) };
    let read = match formats.0.as_slice() {
        [] => ["%H:%M", "%H:%M:%S"].iter().find_map(|format| read_time(&text, format)),
        formats => formats.iter().find_map(|format| read_time(&text, format)),
    };
    read.map(Some).ok_or_else(|| template.fault(Why::BadTime))
}

fn read_time(text: &str, format: &str) -> Option<Time> {
    BrokenDownTime::parse(format, text).ok()?.to_time().ok()
}

/// Reads a date in one of the formats, or as ISO 8601 where there are none.
fn read_date(text: &str, formats: &Formats) -> Option<Reading> {
    if formats.0.is_empty() {
        return read_iso(text);
    }
    formats.0.iter().find_map(|format| {
        let read = BrokenDownTime::parse(format, text).ok()?;
        if read.offset().is_some() || read.timestamp().is_some() {
            return read.to_timestamp().ok().map(Reading::Instant);
        }
        let date = read.to_date().ok()?;
        match read.hour() {
            Some(_) => Some(Reading::Local(date.to_datetime(read.to_time().ok()?))),
            None => Some(Reading::Date(date)),
        }
    })
}

fn read_iso(text: &str) -> Option<Reading> {
    if let Ok(at) = text.parse() {
        return Some(Reading::Instant(at));
    }
    // A time would be overlooked by a date, and a date's time be midnight.
    if text.len() > "2026-01-01".len() {
        return text.parse().ok().map(Reading::Local);
    }
    text.parse().ok().map(Reading::Date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, formats: &[&str]) -> Option<Reading> {
        read_date(text, &Formats(formats.iter().map(|format| (*format).to_owned()).collect()))
    }

    #[test]
    fn numbers_in_dates_need_no_zeros() {
        let expected = Some(Reading::Date(jiff::civil::date(2015, 7, 1)));
        assert_eq!(read("7/1/2015", &["%m/%d/%Y"]), expected);
        assert_eq!(read("2015-July-1", &["%Y-%B-%d"]), expected);
    }

    #[test]
    fn a_time_of_day_is_taken_where_the_format_has_one() {
        let local = jiff::civil::date(2015, 7, 1).at(14, 30, 0, 0);
        assert_eq!(read("01.07.2015 14:30", &["%d.%m.%Y %H:%M"]), Some(Reading::Local(local)));
        assert_eq!(read("07/01/2015 2:30 PM", &["%m/%d/%Y %I:%M %p"]), Some(Reading::Local(local)));
        assert_eq!(read("2015-07-01T14:30", &[]), Some(Reading::Local(local)));
    }

    #[test]
    fn an_offset_makes_an_instant() {
        let at = "2015-07-01T12:30:00Z".parse().unwrap();
        assert_eq!(read("2015-07-01T14:30:00+02:00", &[]), Some(Reading::Instant(at)));
        assert_eq!(
            read("2015-07-01 14:30 +0200", &["%Y-%m-%d %H:%M %z"]),
            Some(Reading::Instant(at))
        );
    }

    #[test]
    fn a_day_that_does_not_exist_is_none() {
        assert_eq!(read("2015-02-30", &[]), None);
        assert_eq!(read("30/02/2015", &["%d/%m/%Y"]), None);
    }
}
