//! Free times: opening hours minus what is held. Advice only: the commit decides.

use jiff::civil::Date;
use jiff::{Span, Timestamp};

use crate::booking::Day;
use crate::catalogue::{Length, Resource, Service};
use crate::slot::Slot;

/// A time that could be booked, and how many places of the resource are left in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub slot: Slot,
    pub remaining: u32,
}

/// The free times of one resource for one service that start within `window`, every
/// `step_minutes` from opening.
///
/// `held` answers for each UTC day that an offer with its buffers touches: see [`offered_minutes`].
pub fn offers<'a>(
    service: &Service,
    resource: &Resource,
    window: Slot,
    step_minutes: u32,
    held: impl Fn(Date) -> Option<&'a Day>,
) -> Vec<Offer> {
    let minutes = offered_minutes(service);
    let zone = &resource.zone;
    let first = zone.local(window.start()).date();
    let last = zone.local(window.end()).date();
    let openings = first
        .yesterday()
        .unwrap_or(first)
        .series(Span::new().days(1))
        .take_while(|date| *date <= last)
        .flat_map(|date| resource.hours.on(date, zone));
    let mut offers: Vec<Offer> = openings
        .flat_map(|opening| starts(opening, step_minutes.max(1)))
        .filter(|start| window.start() <= *start && *start < window.end())
        .filter_map(|start| {
            let end = start.checked_add(Span::new().minutes(i64::from(minutes))).ok()?;
            Slot::new(start, end).ok()
        })
        .filter(|slot| !service.keeps_hours() || resource.hours.cover(*slot, zone))
        .filter_map(|slot| {
            let remaining = remaining(service, resource, slot, &held);
            (remaining > 0).then_some(Offer { slot, remaining })
        })
        .collect();
    offers.sort_by_key(|offer| offer.slot);
    offers.dedup_by_key(|offer| offer.slot);
    offers
}

/// How long the times are that are offered for a service, in minutes.
pub fn offered_minutes(service: &Service) -> u32 {
    match service.length {
        Length::Fixed { minutes } => minutes,
        Length::Between { from_minutes, .. } => from_minutes,
        Length::Nights { .. } => 24 * 60,
    }
}

fn starts(opening: Slot, step_minutes: u32) -> impl Iterator<Item = Timestamp> {
    let step = Span::new().minutes(i64::from(step_minutes));
    std::iter::successors(Some(opening.start()), move |at| at.checked_add(step).ok())
        .take_while(move |at| *at < opening.end())
}

fn remaining<'a>(
    service: &Service,
    resource: &Resource,
    slot: Slot,
    held: &impl Fn(Date) -> Option<&'a Day>,
) -> u32 {
    let slot = slot.widened(service.buffer_before, service.buffer_after);
    let peak = slot
        .days()
        .filter_map(|date| Some(held(date)?.peak(slot.on_day(date)?, None)))
        .max()
        .unwrap_or(0);
    u32::from(resource.capacity).saturating_sub(peak)
}
