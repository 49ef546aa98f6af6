//! Following what other nodes commit: told at once, and looked after by itself.
//!
//! After a commit a node tells the others over a connection of its own: a notification inside the
//! transaction would put all commits of a database in one line. Notifications may be lost with a
//! connection, so every open ledger is also looked at now and then.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use domain::Position;
use domain::tag::TagKind;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;
use tokio_postgres::{AsyncMessage, Client};

use super::dial::Dial;
use super::{Home, PgError, apart};
use crate::keyring::Keyring;
use crate::ledger::log::{Log, ReadError};

/// On one channel nodes tell each other of growth; the payload is the ledger's schema and size. What is told is
/// durable already: that it was told need not wait for a disk, nor for a standby.
const LISTEN: &str = "SET synchronous_commit = off; LISTEN tidbok";
/// All that has grown in one transaction.
const TELL: &str = "SELECT pg_notify('tidbok', grown) FROM unnest($1::text[]) AS grown";
/// How often some ledgers are looked at without being told.
const ROUND: Duration = Duration::from_secs(1);
/// How many of them each time, so that many open tenants are no load of their own.
const EACH_ROUND: usize = 64;
/// After how many rounds commits that a node was cut off in are looked for.
const SWEEP: u32 = 15;
/// How long growth is gathered before the others are told: what is told each time costs as much.
const GATHER: Duration = Duration::from_millis(5);
/// How long a node that lost its connection waits before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// A ledger's schema, and how many entries it has.
type Growth = (String, u64);

/// Why ledgers are looked at.
enum Heard {
    /// Another node has told of it.
    Grown(Growth),
    /// It is time for some, and for what was left by others: however much is told.
    Round,
}

type Followed = BTreeMap<String, (Weak<Log>, Weak<Keyring>)>;

/// Hears of every ledger that is open here.
pub(crate) struct Watch {
    followed: Arc<Mutex<Followed>>,
    grown: UnboundedSender<Growth>,
}

impl Watch {
    /// Begins to listen.
    pub(crate) fn start(home: &Home) -> Result<Self, PgError> {
        let server = &home.ledger;
        let followed = Arc::new(Mutex::new(Followed::new()));
        let (grown, tell) = unbounded_channel();
        let (heard, looks) = mpsc::channel();
        let dial = server.dial().clone();
        let rounds = heard.clone();
        server.spawn(async move { go_round(rounds).await })?;
        server.spawn(async move { exchange(dial, tell, heard).await })?;
        let weak = Arc::downgrade(&followed);
        let left = home.clone();
        std::thread::Builder::new()
            .name("follow".to_owned())
            .spawn(move || look_after(&weak, &looks, &left))
            .map_err(PgError::Runtime)?;
        Ok(Self { followed, grown })
    }

    /// Who follows one ledger, by its schema.
    pub(crate) fn follower(&self, schema: &str) -> Follower {
        let (followed, grown) = (Arc::clone(&self.followed), self.grown.clone());
        Follower { schema: schema.to_owned(), followed, grown }
    }
}

/// Follows one ledger.
pub(crate) struct Follower {
    schema: String,
    followed: Arc<Mutex<Followed>>,
    grown: UnboundedSender<Growth>,
}

impl Follower {
    /// Tells the other nodes that the ledger has grown.
    pub(super) fn tell(&self, size: u64) {
        // Where nobody tells, the others look by themselves.
        drop(self.grown.send((self.schema.clone(), size)));
    }

    /// Has a ledger hear of what others commit, for as long as it is open.
    pub(super) fn follow(&self, log: &Arc<Log>, keyring: &Arc<Keyring>) {
        let ledger = (Arc::downgrade(log), Arc::downgrade(keyring));
        lock(&self.followed).insert(self.schema.clone(), ledger);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says when a round is due, for as long as anybody looks.
async fn go_round(heard: Sender<Heard>) {
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        if heard.send(Heard::Round).is_err() {
            return;
        }
    }
}

/// Tells and hears over one connection, and over another when that is lost.
async fn exchange(dial: Dial, mut tell: UnboundedReceiver<Growth>, heard: Sender<Heard>) {
    loop {
        let hear = {
            let heard = heard.clone();
            move |message| {
                growth_in(&message).is_none_or(|growth| heard.send(Heard::Grown(growth)).is_ok())
            }
        };
        if let Ok((client, driver)) = dial.connect(hear).await {
            if client.batch_execute(LISTEN).await.is_ok() && pass_on(&client, &mut tell).await {
                return;
            }
            driver.abort();
        }
        // What was told meanwhile is lost, and does not pile up; and nobody may be there to be told any more.
        while tell.try_recv().is_ok() {}
        if heard.send(Heard::Round).is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn growth_in(message: &AsyncMessage) -> Option<Growth> {
    let AsyncMessage::Notification(told) = message else { return None };
    let (schema, size) = told.payload().split_once(' ')?;
    Some((schema.to_owned(), size.parse().ok()?))
}

/// Tells the others of every ledger that has grown, each once however often it did meanwhile.
/// Whether there is nobody left to tell for.
async fn pass_on(client: &Client, tell: &mut UnboundedReceiver<Growth>) -> bool {
    let Ok(notify) = client.prepare(TELL).await else { return false };
    loop {
        let next = tokio::time::timeout(PAUSE, tell.recv()).await;
        let first = match next {
            Ok(Some(growth)) => growth,
            Ok(None) => return true,
            Err(_) if client.is_closed() => return false,
            Err(_) => continue,
        };
        tokio::time::sleep(GATHER).await;
        let mut grown = BTreeMap::from([first]);
        while let Ok((schema, size)) = tell.try_recv() {
            grown.insert(schema, size);
        }
        let grown: Vec<String> =
            grown.iter().map(|(schema, size)| format!("{schema} {size}")).collect();
        if client.execute(&notify, &[&grown]).await.is_err() {
            return false;
        }
    }
}

/// Looks at ledgers that were told of, and at a few others each round.
fn look_after(followed: &Weak<Mutex<Followed>>, looks: &Receiver<Heard>, home: &Home) {
    let (mut after, mut rounds) = (String::new(), 0_u32);
    while let Ok(first) = looks.recv() {
        let Some(followed) = followed.upgrade() else { return };
        let (mut grown, mut due) = (BTreeMap::new(), false);
        for heard in std::iter::once(first).chain(looks.try_iter()) {
            match heard {
                Heard::Grown((name, size)) => drop(grown.insert(name, size)),
                Heard::Round => due = true,
            }
        }
        for (name, size) in grown {
            let ledger = lock(&followed).get(&name).cloned();
            // Not where it tells of what this node has done itself.
            let new = ledger.filter(|(log, _)| log.upgrade().is_some_and(|log| log.size() < size));
            look(&followed, &name, new);
        }
        if due {
            rounds += 1;
            if rounds.is_multiple_of(SWEEP)
                && let Err(error) = apart::sweep(home)
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "commits that were cut off are settled later"
                );
            }
            after = look_at_some(&followed, after);
        }
    }
}

/// Looks at the next few ledgers behind one; the last of them, or none where the round begins again.
fn look_at_some(followed: &Mutex<Followed>, after: String) -> String {
    let behind = (Bound::Excluded(after), Bound::Unbounded);
    let round: Vec<_> = lock(followed)
        .range::<String, _>(behind)
        .take(EACH_ROUND)
        .map(|(name, ledger)| (name.clone(), ledger.clone()))
        .collect();
    let last = round.last().filter(|_| round.len() == EACH_ROUND);
    let last = last.map(|(name, _)| name.clone()).unwrap_or_default();
    for (name, ledger) in round {
        look(followed, &name, Some(ledger));
    }
    last
}

fn look(followed: &Mutex<Followed>, name: &str, ledger: Option<(Weak<Log>, Weak<Keyring>)>) {
    let Some((log, keyring)) = ledger else { return };
    let (Some(log), Some(keyring)) = (log.upgrade(), keyring.upgrade()) else {
        // Closed, unless it was opened again meanwhile.
        let mut followed = lock(followed);
        if followed.get(name).is_some_and(|(log, _)| log.strong_count() == 0) {
            followed.remove(name);
        }
        return;
    };
    if let Err(error) = follow(&log, &keyring) {
        tracing::debug!(%error, "a ledger cannot be looked at now; it will be again");
    }
}

/// Takes note of what others have committed: first of what ends keys, or their use.
fn follow(log: &Log, keyring: &Keyring) -> Result<(), ReadError> {
    let head = log.head()?;
    let (known, size) = (log.size(), head.frontier.size());
    if size > known {
        // What the ledger says of itself and how persons stand lie side by side.
        let others = *TagKind::Ledger.range().start()..=*TagKind::Standing.range().end();
        let ends = [TagKind::Fence.range(), others];
        if known < head.indexed {
            for range in ends.clone() {
                if !log.reader().positions(range, Position(known))?.is_empty() {
                    keyring.evict_all();
                }
            }
        }
        log.take_in(head.indexed, size, |tags| {
            if tags.iter().any(|(tag, _)| ends.iter().any(|range| range.contains(tag))) {
                keyring.evict_all();
            }
        })?;
        log.grown(size);
    }
    if let Some(mover) = log.mover() {
        mover.after_growth(log);
    }
    Ok(())
}
