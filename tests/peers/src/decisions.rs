//! disintegrate with its PostgreSQL store: a decision over all events of a day.

use disintegrate::{Decision, Event, NoSnapshot, StateMutate, StateQuery, serde::json::Json};
use disintegrate_postgres::{PgDecisionMaker, PgEventStore};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Pool, Postgres};

use crate::load::{CAPACITY, NOTE, Store, Wish};

#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[stream(DayEvent, [Booked])]
pub enum BookingEvent {
    Booked {
        #[id]
        day_id: String,
        booking: String,
        start: i64,
        end: i64,
        service: String,
        person: String,
        note: String,
    },
}

#[derive(Default, StateQuery, Clone, Serialize, Deserialize)]
#[state_query(DayEvent)]
pub struct Day {
    #[id]
    day_id: String,
    starts: Vec<i64>,
}

impl StateMutate for Day {
    fn mutate(&mut self, event: Self::Event) {
        match event {
            DayEvent::Booked { start, .. } => self.starts.push(start),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the time is taken")]
pub struct Taken;

struct Book(Wish);

impl Decision for Book {
    type Event = BookingEvent;
    type StateQuery = Day;
    type Error = Taken;

    fn state_query(&self) -> Day {
        Day { day_id: self.0.day.clone(), ..Day::default() }
    }

    fn process(&self, day: &Day) -> Result<Vec<BookingEvent>, Taken> {
        let Self(wish) = self;
        if day.starts.iter().filter(|start| **start == wish.start).count() >= CAPACITY {
            return Err(Taken);
        }
        Ok(vec![BookingEvent::Booked {
            day_id: wish.day.clone(),
            booking: wish.booking.to_string(),
            start: wish.start,
            end: wish.start + 600,
            service: "Visit".to_owned(),
            person: wish.person.to_string(),
            note: NOTE.to_owned(),
        }])
    }
}

pub struct Decisions {
    maker: PgDecisionMaker<BookingEvent, Json<BookingEvent>, NoSnapshot>,
}

impl Decisions {
    /// One function of its schema has a number in a notation that PostgreSQL reads from version 16
    /// on. It is let in unread and written in the older notation afterwards.
    pub async fn new(pool: Pool<Postgres>) -> anyhow::Result<Self> {
        let unread =
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET check_function_bodies = off',
                      current_database()); END $$";
        sqlx::query(unread).execute(&pool).await?;
        let address = pool.connect_options();
        let options = PgPoolOptions::new().max_connections(pool.options().get_max_connections());
        pool.close().await;
        let pool = options.connect_with((*address).clone()).await?;
        let store = PgEventStore::try_new(pool.clone(), Json::default()).await?;
        let text = "SELECT pg_get_functiondef('event_store_begin_epoch'::regproc)";
        let text: String = sqlx::query_scalar(text).fetch_one(&pool).await?;
        sqlx::query(&text.replace("0xFFFFFFFF", "4294967295")).execute(&pool).await?;
        Ok(Self { maker: disintegrate_postgres::decision_maker(store, NoSnapshot) })
    }
}

impl Store for Decisions {
    async fn book(&self, wish: Wish) -> anyhow::Result<bool> {
        // Whoever was overtaken, also by a neighbour on the same index page, asks again.
        loop {
            match self.maker.make(Book(wish.clone())).await {
                Ok(_) => return Ok(true),
                Err(disintegrate::DecisionError::Domain(Taken)) => return Ok(false),
                Err(disintegrate::DecisionError::StateStore(source))
                | Err(disintegrate::DecisionError::EventStore(source)) => {
                    let text = format!("{source:?}");
                    let again = ["Concurrency", "40001", "40P01"];
                    if !again.iter().any(|sign| text.contains(sign)) {
                        anyhow::bail!("disintegrate: {text}");
                    }
                }
            }
        }
    }
}
