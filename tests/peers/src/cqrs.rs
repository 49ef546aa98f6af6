//! cqrs-es with postgres-es, which keeps what it is told in clear, and with cqrs-es-crypto around it.
//!
//! A day is an aggregate, as their books advise: what has to be consistent is one.

use std::sync::Arc;

use anyhow::Context as _;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore};
use cqrs_es::{Aggregate, AggregateError, CqrsFramework, DomainEvent, EventStore};
use cqrs_es_crypto::{
    CryptoShreddingEventRepository, FieldCipher, PiiCodec, PostgresKeyStore, StaticKekProvider,
};
use futures::{StreamExt, TryStreamExt, stream};
use postgres_es::{PostgresCqrs, PostgresEventRepository};
use serde::{Deserialize, Serialize};
use sqlx::{Pool, Postgres};
use uuid::Uuid;

use crate::load::{CAPACITY, DAYS, HELD, NOTE, Store, Wish};

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Day {
    starts: Vec<i64>,
}

/// The derived codec needs a variant with a subject; the plain store writes the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, PiiCodec)]
pub enum DayEvent {
    #[pii(event_type = "Booked")]
    Booked {
        #[pii(plaintext)]
        booking: Uuid,
        #[pii(plaintext)]
        start: i64,
        #[pii(plaintext)]
        end: i64,
        #[pii(plaintext)]
        service: String,
        #[pii(subject)]
        person: Uuid,
        #[pii(secret)]
        note: String,
    },
}

impl DomainEvent for DayEvent {
    fn event_type(&self) -> String {
        "Booked".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the time is taken")]
pub struct Taken;

impl Aggregate for Day {
    const TYPE: &'static str = "day";
    type Command = Wish;
    type Event = DayEvent;
    type Error = Taken;
    type Services = ();

    async fn handle(&mut self, wish: Wish, (): &(), sink: &EventSink<Self>) -> Result<(), Taken> {
        if self.starts.iter().filter(|start| **start == wish.start).count() >= CAPACITY {
            return Err(Taken);
        }
        let Wish { booking, person, start, .. } = wish;
        let (service, note) = ("Visit".to_owned(), NOTE.to_owned());
        let event = DayEvent::Booked { booking, start, end: start + 600, service, person, note };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: DayEvent) {
        let DayEvent::Booked { start, .. } = event;
        self.starts.push(start);
    }
}

fn answer(ended: Result<(), AggregateError<Taken>>) -> anyhow::Result<bool> {
    match ended {
        Ok(()) => Ok(true),
        Err(AggregateError::UserError(_) | AggregateError::AggregateConflict) => Ok(false),
        Err(error) => Err(error).context("cqrs-es"),
    }
}

/// As its own `db/init.sql` makes it.
async fn events_table(pool: &Pool<Postgres>) -> anyhow::Result<()> {
    let table = "CREATE TABLE events (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
        sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL,
        event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence))";
    sqlx::query(table).execute(pool).await?;
    Ok(())
}

/// Everything in clear.
pub struct Clear {
    framework: PostgresCqrs<Day>,
    pool: Pool<Postgres>,
}

impl Clear {
    pub async fn new(pool: Pool<Postgres>) -> anyhow::Result<Self> {
        events_table(&pool).await?;
        let framework = postgres_es::postgres_cqrs(pool.clone(), vec![], ());
        Ok(Self { framework, pool })
    }

    /// Gives every full day its bookings, past all that is measured.
    pub async fn fill(&self) -> anyhow::Result<()> {
        let fill = format!(
            "INSERT INTO events SELECT 'day', 'day-' || day, n, 'Booked', '1.0', json_build_object(
                 'Booked', json_build_object('booking', gen_random_uuid(), 'start', n * 4200,
                 'end', n * 4200 + 600, 'service', 'Visit', 'person', gen_random_uuid(),
                 'note', '{NOTE}')), '{{}}'
             FROM generate_series(1, {HELD}) n, generate_series(0, {DAYS} - 1) day"
        );
        sqlx::query(&fill).execute(&self.pool).await?;
        sqlx::query("VACUUM ANALYZE events").execute(&self.pool).await?;
        Ok(())
    }

    /// Reads all events; answers how many.
    pub async fn replay(&self) -> anyhow::Result<u64> {
        let repository = PostgresEventRepository::new(self.pool.clone());
        let mut events = repository.stream_all_events::<Day>().await?;
        let mut count = 0;
        while let Some(event) = events.next::<Day>(&[]).await {
            event?;
            count += 1;
        }
        Ok(count)
    }
}

impl Store for Clear {
    async fn book(&self, wish: Wish) -> anyhow::Result<bool> {
        let day = wish.day.clone();
        answer(self.framework.execute(&day, wish).await)
    }
}

type Shredding = PersistedEventStore<CryptoShreddingEventRepository<PostgresEventRepository>, Day>;

/// What is personal encrypted under a key for each person.
pub struct Crypto {
    framework: CqrsFramework<Day, Shredding>,
    store: Shredding,
}

impl Crypto {
    /// Wired as its README says.
    pub async fn new(pool: Pool<Postgres>) -> anyhow::Result<Self> {
        events_table(&pool).await?;
        let table = "CREATE TABLE subject_encryption_keys (
            key_id UUID NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
            subject_id UUID NOT NULL UNIQUE, wrapped_key BYTEA NOT NULL, kek_id TEXT NOT NULL,
            rewrapped_at TIMESTAMP, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";
        sqlx::query(table).execute(&pool).await?;
        sqlx::query("CREATE INDEX ON subject_encryption_keys (kek_id)").execute(&pool).await?;
        let store = || -> anyhow::Result<Shredding> {
            let provider = Arc::new(StaticKekProvider::single("v1", vec![7; 32])?);
            let keys = Arc::new(PostgresKeyStore::new(pool.clone(), provider));
            let inner = PostgresEventRepository::new(pool.clone());
            let (cipher, codec) = (FieldCipher::new(), Arc::new(DayEventPiiCodec));
            let shredding = CryptoShreddingEventRepository::new(inner, keys, cipher, codec);
            Ok(PersistedEventStore::new_event_store(shredding))
        };
        Ok(Self { framework: CqrsFramework::new(store()?, vec![], ()), store: store()? })
    }

    /// Books so many times of as many persons; answers the days.
    pub async fn page(&self, count: u64) -> anyhow::Result<Vec<String>> {
        let mut days = Vec::new();
        for number in 0..count {
            let (booking, person) =
                (Uuid::from_u64_pair(1, number), Uuid::from_u64_pair(8, number));
            let day = format!("page-{number}");
            let wish = Wish { booking, day: day.clone(), person, start: 0 };
            answer(self.framework.execute(&day, wish).await)?;
            days.push(day);
        }
        Ok(days)
    }

    /// Loads them side by side, decrypted.
    pub async fn load(&self, days: &[String]) -> anyhow::Result<()> {
        let loads = days.iter().map(|day| self.store.load_events(day));
        let loaded: Vec<_> = stream::iter(loads).buffer_unordered(64).try_collect().await?;
        let whole = loaded.iter().flatten().all(|event| {
            let DayEvent::Booked { note, .. } = &event.payload;
            note == NOTE
        });
        anyhow::ensure!(whole && loaded.len() == days.len(), "not everything was decrypted");
        Ok(())
    }
}

impl Store for Crypto {
    async fn book(&self, wish: Wish) -> anyhow::Result<bool> {
        let day = wish.day.clone();
        answer(self.framework.execute(&day, wish).await)
    }
}
