//! What PostgreSQL does with the same rows and nothing around them: no decision, no sealing, no tree,
//! no queue. Nobody who stores these rows can be faster than that.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt, pin_mut};
use tokio_postgres::{Client, NoTls};

/// How many bookings' rows are read before, to be inserted again.
const ROWS: i64 = 20_000;

/// The rows of bookings, as a tenant of Tidbok has written them.
pub struct Floor {
    client: Client,
    ledger: String,
    keyring: String,
    bookings: Vec<Rows>,
    /// How often all of them were inserted: every time under other positions.
    round: i64,
}

/// What one booking brings.
#[derive(Default, Clone)]
struct Rows {
    bytes: Vec<u8>,
    leaf: Vec<u8>,
    seal: Vec<u8>,
    person: i64,
    wrapped: Vec<u8>,
    tags: Vec<i64>,
    until: i64,
    year: i16,
}

pub async fn connect(address: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Floor {
    /// On the newest tenant of this database.
    pub async fn new(address: &str) -> anyhow::Result<Self> {
        let client = connect(address).await?;
        let id: String = client
            .query_one(
                "SELECT encode(id, 'hex') FROM tidbok.tenant ORDER BY name DESC LIMIT 1",
                &[],
            )
            .await?
            .get(0);
        let (ledger, keyring) = (format!("ledger_{id}"), format!("keyring_{id}"));
        let bookings = read(&client, &ledger, &keyring).await?;
        anyhow::ensure!(!bookings.is_empty(), "the tenant has no bookings");
        let mut tables = String::from("DROP SCHEMA IF EXISTS floor CASCADE; CREATE SCHEMA floor;");
        for (schema, table) in [
            (&ledger, "head"),
            (&ledger, "entry"),
            (&ledger, "seal"),
            (&ledger, "tag"),
            (&keyring, "data_key"),
            (&keyring, "person_tag"),
        ] {
            tables += &format!("CREATE TABLE floor.{table} (LIKE {schema}.{table} INCLUDING ALL);");
        }
        tables += &format!("INSERT INTO floor.head SELECT * FROM {ledger}.head;");
        tables +=
            "SET search_path = floor; SET plan_cache_mode = force_generic_plan; SET jit = off;";
        client.batch_execute(&tables).await?;
        Ok(Self { client, ledger, keyring, bookings, round: 0 })
    }

    /// Bookings per second in batches of so many, one transaction after the other.
    pub async fn inserts(&mut self, batch: usize, run: Duration) -> anyhow::Result<f64> {
        let statement = self.client.prepare(INSERT).await?;
        let (start, mut done) = (Instant::now(), 0);
        while start.elapsed() < run {
            self.round += 1;
            let from = self.round * ROWS;
            for (number, rows) in self.bookings.chunks(batch).enumerate() {
                let first = from + i64::try_from(number * batch)?;
                insert(&self.client, &statement, first, rows).await?;
                done += rows.len();
                if start.elapsed() >= run {
                    break;
                }
            }
        }
        Ok(done as f64 / start.elapsed().as_secs_f64())
    }

    /// Entries per second that leave the server in their order, with their seals and keys.
    pub async fn copy(&self) -> anyhow::Result<f64> {
        let (start, mut entries) = (Instant::now(), 0_i64);
        for select in [
            format!("SELECT position, bytes, leaf FROM {}.entry ORDER BY position", self.ledger),
            format!("SELECT id, ciphertext FROM {}.seal ORDER BY id", self.ledger),
            format!("SELECT id, person, wrapped FROM {}.data_key ORDER BY id", self.keyring),
        ] {
            let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
            let rows = self.client.copy_out(&copy).await?;
            pin_mut!(rows);
            while let Some(bytes) = rows.next().await {
                bytes?;
            }
        }
        let count = format!("SELECT size FROM {}.head", self.ledger);
        entries += self.client.query_one(&count, &[]).await?.get::<_, i64>(0);
        Ok(entries as f64 / start.elapsed().as_secs_f64())
    }
}

const INSERT: &str = "
    WITH h AS (
        UPDATE head SET size = size + $1, frontier = $2, recorded_at = recorded_at + 1 RETURNING 1
    ), e AS (INSERT INTO entry SELECT * FROM unnest($3::int8[], $4::bytea[], $5::bytea[])
    ), s AS (INSERT INTO seal SELECT p * 65536, c FROM unnest($3::int8[], $6::bytea[]) u (p, c)
    ), k AS (INSERT INTO data_key
             SELECT p * 8 + 2, o, NULL, w FROM unnest($3::int8[], $7::int8[], $8::bytea[]) u (p, o, w)
    ), t AS (INSERT INTO tag SELECT * FROM unnest($9::int8[], $10::int8[])
    ) INSERT INTO person_tag
      SELECT o, u, p, p, p, 1, y, 1
      FROM unnest($3::int8[], $7::int8[], $11::int8[], $12::int2[]) r (p, o, u, y)";

async fn insert(
    client: &Client,
    statement: &tokio_postgres::Statement,
    first: i64,
    rows: &[Rows],
) -> anyhow::Result<()> {
    let count = i64::try_from(rows.len())?;
    let positions: Vec<i64> = (first..first + count).collect();
    let bytes: Vec<&[u8]> = rows.iter().map(|row| row.bytes.as_slice()).collect();
    let leaves: Vec<&[u8]> = rows.iter().map(|row| row.leaf.as_slice()).collect();
    let seals: Vec<&[u8]> = rows.iter().map(|row| row.seal.as_slice()).collect();
    let persons: Vec<i64> = rows.iter().map(|row| row.person).collect();
    let wrapped: Vec<&[u8]> = rows.iter().map(|row| row.wrapped.as_slice()).collect();
    let until: Vec<i64> = rows.iter().map(|row| row.until).collect();
    let years: Vec<i16> = rows.iter().map(|row| row.year).collect();
    let tagged = rows.iter().zip(&positions);
    let (tags, of): (Vec<i64>, Vec<i64>) = tagged
        .flat_map(|(row, position)| row.tags.iter().map(move |tag| (*tag, *position)))
        .unzip();
    let frontier = vec![7_u8; 32 * 12];
    client
        .execute(
            statement,
            &[
                &count, &frontier, &positions, &bytes, &leaves, &seals, &persons, &wrapped, &tags,
                &of, &until, &years,
            ],
        )
        .await?;
    Ok(())
}

async fn read(client: &Client, ledger: &str, keyring: &str) -> anyhow::Result<Vec<Rows>> {
    let select = format!(
        "SELECT bytes, leaf, ciphertext, p.person, wrapped, p.until, p.year,
                ARRAY(SELECT tag FROM {ledger}.tag t WHERE t.position = e.position)
         FROM {keyring}.person_tag p
         JOIN {ledger}.entry e USING (position)
         JOIN {ledger}.seal ON seal.id = e.position * 65536
         JOIN {keyring}.data_key k ON k.id = p.handle * 8 + 2
         WHERE p.booking IS NOT NULL AND position < (SELECT indexed FROM {ledger}.head)
         ORDER BY position DESC LIMIT {ROWS}"
    );
    // Of older bookings, for rows of tags lag behind. They are read once and kept, instead of once for each
    // booking.
    client
        .batch_execute(&format!("CREATE INDEX IF NOT EXISTS floor_tag ON {ledger}.tag (position)"))
        .await?;
    let rows = client.query(&select, &[]).await.context("a tenant's rows")?;
    client.batch_execute(&format!("DROP INDEX {ledger}.floor_tag")).await?;
    let rows = rows.iter().map(|row| Rows {
        bytes: row.get(0),
        leaf: row.get(1),
        seal: row.get(2),
        person: row.get(3),
        wrapped: row.get(4),
        until: row.get(5),
        year: row.get(6),
        tags: row.get(7),
    });
    Ok(rows.collect())
}
