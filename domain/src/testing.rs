//! The words in which the rules are tested: given these events, when this is wished, then these
//! events follow, or this refusal.
//!
//! The stage is always the same small salon, on Friday 20 November 2026, in Stockholm.

mod salon;
mod samples;
mod wish;

use cqrs_es::test::TestFramework;
use jiff::Timestamp;

use crate::book::{Book, Command};
use crate::entry::{Actor, Context};
use crate::event::Event;
use crate::ids::{ActorId, Handle};
use crate::refusal::Refusal;
use crate::sealed::RetentionClass;

pub(crate) use salon::{
    CHAIR, CUT, DYE, FIRST, PLACES, ROOM, SALON, SECOND, STAY, VISIT, day, policy, resource, salon,
    salon_and, service, stockholm,
};
pub(crate) use samples::one_of_each_kind;
pub(crate) use wish::{Wish, booking, change, fence, slot};

/// Thursday morning, a day before the salon's bookings.
pub(crate) const NOW: &str = "2026-11-19T08:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What has happened, and what the world is like when something is wished.
pub(crate) struct Given {
    events: Vec<Event>,
    context: Context,
}

pub(crate) fn given(events: impl IntoIterator<Item = Event>) -> Given {
    let context = Context {
        now: at(NOW),
        occurred_at: at(NOW),
        actor: Actor::Staff(ActorId(1)),
        visits: [].into(),
        held: [].into(),
    };
    Given { events: events.into_iter().collect(), context }
}

impl Given {
    pub(crate) fn at(mut self, now: &str) -> Self {
        self.context.now = at(now);
        self.context.occurred_at = at(now);
        self
    }

    pub(crate) fn long_after(mut self, occurred_at: &str) -> Self {
        self.context.occurred_at = at(occurred_at);
        self
    }

    pub(crate) fn by_client(mut self) -> Self {
        self.context.actor = Actor::Client(Handle(1));
        self
    }

    pub(crate) fn visits(mut self, year: i16, count: u32) -> Self {
        self.context.visits.insert(year, count);
        self
    }

    pub(crate) fn held(mut self, classes: &[RetentionClass]) -> Self {
        self.context.held = classes.iter().copied().collect();
        self
    }

    pub(crate) fn when(self, command: impl Into<Command>) -> Outcome {
        let framework = TestFramework::<Book>::with(self.context);
        Outcome(framework.given(self.events).when(command.into()).inspect_result())
    }
}

/// What came of a wish.
pub(crate) struct Outcome(Result<Vec<Event>, Refusal>);

impl Outcome {
    #[track_caller]
    pub(crate) fn then(self, expected: &[Event]) {
        assert_eq!(self.0.as_deref(), Ok(expected));
    }

    #[track_caller]
    pub(crate) fn then_refused(self, expected: impl Into<Refusal>) {
        assert_eq!(self.0, Err(expected.into()));
    }

    pub(crate) fn result(self) -> Result<Vec<Event>, Refusal> {
        self.0
    }
}
