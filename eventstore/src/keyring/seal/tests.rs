//! What comes of opening a seal: five answers, and errors for all that is no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ledger::ReadPurpose;
use domain::person::PersonCommand;
use domain::sealed::{Contact, SealRef};
use domain::slot::Zone;
use domain::{Actor, Command, Event, Field, Handle, RetentionClass};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Opening, SealAt, bucket};
use crate::engine::{Bundle, Change, Replaced};
use crate::environment::{Clock, Entropy, Environment};
use crate::keyring::KeyError;
use crate::keyring::person::PersonId;
use crate::keyring::personal::Personal;
use crate::ledger::appender::Append;
use crate::sqlite::int;
use crate::store::{Store, Tenant};

struct World(AtomicU64);

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(1)
    }
}

impl Entropy for World {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mixed = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// A tenant with two clients, and the seals of their contact fields.
struct Salon {
    dir: TempDir,
    tenant: Arc<Tenant>,
    anna: (PersonId, SealAt),
    bo: (PersonId, SealAt),
    _store: Store,
}

fn salon() -> Salon {
    let dir = tempfile::tempdir().unwrap();
    let world = Arc::new(World(AtomicU64::new(1)));
    let env = Environment { clock: Arc::clone(&world) as Arc<dyn Clock>, entropy: world };
    let store = Store::open(&dir.path().join("data"), &dir.path().join("keys"), env).unwrap();
    let tenant = store.create_tenant("salon", Zone::utc()).unwrap();
    let [anna, bo] = ["Anna", "Bo"].map(|name| register(&tenant, name));
    Salon { dir, tenant, anna, bo, _store: store }
}

fn register(tenant: &Tenant, name: &str) -> (PersonId, SealAt) {
    let mut sealing = tenant.ledger.sealing();
    let fields = Personal::default().with(Field::Name, name.to_owned());
    let part = sealing.new_person(fields.fields(), &[]).unwrap();
    let kind = Event::KIND_PERSON_REGISTERED;
    let contact = sealing.seal::<Contact>(&part, kind, 0, &fields).unwrap();
    let seal = contact.reference();
    let command = PersonCommand::Register { contact, fence: part.fence, given: part.fields };
    let append = Append::new(Command::Person(command), Actor::System).sealed(sealing);
    let position = tenant.ledger.append_blocking(append).unwrap().first;
    (part.person, SealAt { position, kind, seal })
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Salon {
    fn try_open(&self, purpose: ReadPurpose, at: SealAt) -> Result<Opening, KeyError> {
        let classes = [RetentionClass::Contact];
        let ticket = wait(self.tenant.disclose(Actor::System, purpose, &classes, &[])).unwrap();
        let mut opened = self.tenant.keyring().open(&ticket, &[at])?;
        assert_eq!(opened.len(), 1);
        Ok(opened.remove(0))
    }

    fn states(&self, seals: &[SealAt]) -> Vec<&'static str> {
        let classes = [RetentionClass::Contact];
        let ticket = self.tenant.disclose(Actor::System, ReadPurpose::Audit, &classes, &[]);
        let opened = self.tenant.keyring().open(&wait(ticket).unwrap(), seals).unwrap();
        opened.iter().map(Opening::state).collect()
    }

    fn state(&self, at: SealAt) -> &'static str {
        self.try_open(ReadPurpose::Administration, at).unwrap().state()
    }

    /// Changes rows beside the program.
    fn tamper(&self, sql: &str) {
        let path = self.dir.path().join("data/tenants/salon/ledger.sqlite");
        assert_eq!(Connection::open(path).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
    }

    fn erase(&self, person: PersonId) {
        wait(async {
            let erasure = self.tenant.ledger.erase(person).await.unwrap();
            erasure.cleared.await.unwrap().unwrap();
        });
    }
}

#[test]
fn what_is_live_says_what_was_sealed() {
    let salon = salon();
    for ((_, at), name) in [(salon.anna, "Anna"), (salon.bo, "Bo")] {
        let Opening::Live(fields) = salon.try_open(ReadPurpose::Booking, at).unwrap() else {
            panic!("{name} is live");
        };
        assert_eq!(fields.reveal(Field::Name), Some(name));
    }
}

#[test]
fn what_is_erased_says_so_and_nothing_else_changes() {
    let salon = salon();
    salon.erase(salon.anna.0);
    assert_eq!((salon.state(salon.anna.1), salon.state(salon.bo.1)), ("erased", "live"));
    assert!(matches!(salon.tenant.ledger.sealing().known(salon.anna.0), Err(KeyError::Erased)));
}

#[test]
fn what_is_restricted_is_kept_and_not_shown() {
    let salon = salon();
    salon.tamper(&format!("UPDATE person SET state = 2 WHERE id = {}", salon.anna.0.0));
    // As whoever restricts somebody does.
    salon.tenant.keyring().evict(salon.anna.0);
    assert_eq!((salon.state(salon.anna.1), salon.state(salon.bo.1)), ("restricted", "live"));
    let known = salon.tenant.ledger.sealing().known(salon.anna.0);
    assert!(matches!(known, Err(KeyError::Restricted)));
}

#[test]
fn a_handle_of_which_the_keyring_never_heard_is_not_erased() {
    let salon = salon();
    let (_, at) = salon.anna;
    let seal = SealRef { handle: Handle(4711), ..at.seal };
    assert_eq!(salon.state(SealAt { seal, ..at }), "unknown_key");
    salon.tamper(&format!("DELETE FROM data_key WHERE handle = {}", at.seal.handle.0));
    assert_eq!(salon.state(at), "unknown_key");
    assert_eq!(salon.state(salon.bo.1), "live");
}

/// Of a person who is there a key is gone that should not be: that is no erasure.
#[test]
fn a_person_s_key_that_is_lost_is_an_unknown_key() {
    let salon = salon();
    salon.tenant.keyring().leases.end_person(salon.anna.0);
    salon.tamper(&format!("UPDATE person SET keys = NULL WHERE id = {}", salon.anna.0.0));
    assert_eq!(salon.state(salon.anna.1), "unknown_key");
}

#[test]
fn what_was_changed_does_not_open() {
    let (anna, bo) = (salon().anna.1, salon().bo.1);
    let id = |at: SealAt| format!("id = {}", at.position.0 * 65536 + u64::from(at.seal.seal));
    let changed = |at: usize| {
        format!(
            "UPDATE seal SET ciphertext = CAST(substr(ciphertext, 1, {at}) || x'ff' ||
             substr(ciphertext, {}) AS BLOB) WHERE {}",
            at + 2,
            id(anna)
        )
    };
    let swapped = format!(
        "UPDATE seal SET ciphertext = (SELECT ciphertext FROM seal WHERE {}) WHERE {}",
        id(bo),
        id(anna)
    );
    let deleted = format!("DELETE FROM seal WHERE {}", id(anna));
    let key = format!(
        "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE handle = {})
         WHERE handle = {}",
        bo.seal.handle.0, anna.seal.handle.0
    );
    // Header, commitment, nonce, text.
    for sql in
        [changed(0), changed(2), changed(10), changed(40), changed(60), swapped, deleted, key]
    {
        let salon = salon();
        salon.tamper(&sql);
        assert_eq!(salon.state(salon.anna.1), "tampered", "{sql}");
        assert_eq!(salon.state(salon.bo.1), "live");
    }
}

#[test]
fn a_seal_opens_only_in_its_own_place() {
    let salon = salon();
    let (_, at) = salon.anna;
    let elsewhere = SealAt { kind: Event::KIND_PERSON_RECTIFIED, ..at };
    assert_eq!(salon.state(elsewhere), "tampered");
    let other = SealAt { position: salon.bo.1.position, ..at };
    assert_eq!(salon.state(other), "tampered", "another entry's seal");
}

/// The second look at the lease: somebody erased the person while a seal was being opened.
#[test]
fn whoever_is_erased_in_between_is_not_handed_out() {
    let salon = salon();
    let keyring = salon.tenant.keyring();
    let lease = keyring.person_key(salon.anna.0, RetentionClass::Contact).unwrap();
    let open = || {
        let at = salon.anna.1;
        let row = keyring.log.reader().seals(&[at]).unwrap().remove(0);
        let found = super::Found { at, data_key: row.data_key, ciphertext: row.ciphertext };
        let wrapped = found.data_key.unwrap().wrapped.unwrap();
        let key = lease.key.unwrap(&wrapped).ok();
        keyring.open_under(&lease, key.as_ref(), found).state()
    };
    assert_eq!(open(), "live");
    keyring.evict(salon.anna.0);
    assert_eq!(open(), "erased");
}

#[test]
fn a_ticket_opens_only_what_its_record_speaks_of() {
    let salon = salon();
    let ((anna, annas), (_, bos)) = (salon.anna, salon.bo);
    let open = |class, whom: &[PersonId], at| {
        let classes = [class];
        let ticket = salon.tenant.disclose(Actor::System, ReadPurpose::Audit, &classes, whom);
        let opened = salon.tenant.keyring().open(&wait(ticket).unwrap(), &[at]);
        opened.map(|mut opened| opened.remove(0).state())
    };
    assert!(matches!(open(RetentionClass::Contact, &[anna], annas), Ok("live")));
    let another = open(RetentionClass::Contact, &[anna], bos);
    assert!(matches!(another, Err(KeyError::NotDisclosed)));
    let other_class = open(RetentionClass::Health, &[], annas);
    assert!(matches!(other_class, Err(KeyError::NotDisclosed)));
}

/// Near and far, in any order, some of them twice or not there: each gets its own answer.
#[test]
fn many_are_opened_as_each_would_be_alone() {
    let salon = salon();
    let (anna, bo) = (salon.anna.1, salon.bo.1);
    let far = SealAt { position: domain::Position(1 << 30), ..anna };
    let stranger = SealAt { seal: SealRef { handle: Handle(1 << 40), ..anna.seal }, ..anna };
    let asked = [bo, far, anna, stranger, bo, anna];
    let alone: Vec<&str> = asked.iter().map(|at| salon.state(*at)).collect();
    assert_eq!(alone, ["live", "tampered", "live", "unknown_key", "live", "live"]);
    assert_eq!(salon.states(&asked), alone);
}

/// The keyring itself cannot be read: an error, whoever is asked for.
#[test]
fn a_tenant_without_its_key_opens_nothing_and_erases_nobody() {
    let salon = salon();
    salon.tamper("DELETE FROM tenant_key");
    let keyring = salon.tenant.keyring();
    keyring.leases.end_person(salon.anna.0);
    let moved = crate::keyring::Keyring::new(
        Arc::clone(salon.tenant.log()),
        Arc::clone(&keyring.provider),
        keyring.env.clone(),
    );
    assert!(matches!(moved, Err(KeyError::Provider(_))));
}

#[test]
fn lengths_tell_nothing_within_a_bucket() {
    assert_eq!([0, 1, 64].map(bucket), [64; 3]);
    assert_eq!([65, 128, 129, 257, 512].map(bucket), [128, 128, 256, 512, 512]);
    assert_eq!([513, 1024, 1025].map(bucket), [1024, 1024, 2048]);
}

/// A rotation reads keys and writes them later: whoever is erased in between stays erased.
#[test]
fn what_a_rotation_read_before_an_erasure_brings_nothing_back() {
    let salon = salon();
    let (ledger, reader) = (&salon.tenant.ledger, salon.tenant.log().reader());
    let (anna, handle) = (int(salon.anna.0.0), salon.anna.1.seal.handle);
    let was = reader.bundles(i64::MIN, 100).unwrap().into_iter().find(|row| row.person == anna);
    let was = was.unwrap();
    let class = salon.anna.1.seal.class.code();
    let data_keys = reader.data_keys(&[int(handle.0) * 8 + i64::from(class)]).unwrap();
    assert_eq!(data_keys.len(), 1);
    let ids = [data_keys[0].0];
    salon.erase(salon.anna.0);

    let data_keys = data_keys.into_iter().map(|(id, key)| (id, key.clone(), key)).collect();
    let (keys, retired) = (was.keys.clone(), vec![(9, vec![0; 40])]);
    let replaced = Replaced { person: anna, was: keys.clone(), is: keys, retired, data_keys };
    let is = Bundle { lookups: [&[0, 1][..], &[7; 16]].concat(), ..was.clone() };
    for change in [Change::Rotated(vec![(was, is)]), Change::Replaced(vec![replaced])] {
        assert_eq!(ledger.change_blocking(change).unwrap(), 0);
    }
    assert_eq!(reader.keys_of(salon.anna.0).unwrap(), None);
    assert_eq!(reader.retired_of(salon.anna.0).unwrap(), []);
    assert_eq!(reader.found_by(&[[7; 16]]).unwrap(), []);
    assert!(reader.data_keys(&ids).unwrap().is_empty());
    assert_eq!((salon.state(salon.anna.1), salon.state(salon.bo.1)), ("erased", "live"));
}

#[test]
fn somebody_new_is_sealed_though_all_leases_are_taken_back_meanwhile() {
    let salon = salon();
    let mut sealing = salon.tenant.ledger.sealing();
    let fields = Personal::default().with(Field::Name, "Cecilia".to_owned());
    let part = sealing.new_person(fields.fields(), &[]).unwrap();
    salon.tenant.keyring().evict_all();
    let sealed = sealing.seal::<Contact>(&part, Event::KIND_PERSON_REGISTERED, 0, &fields);
    assert!(sealed.is_ok(), "another node has erased somebody else");
}

/// Keys may be behind a module of somebody else's, which must not be called while the program ends.
#[test]
fn nobody_holds_a_keyring_any_more_once_its_ledger_is_closed() {
    for _ in 0..50 {
        let Salon { dir: _dir, tenant, _store: store, .. } = salon();
        let keyring = Arc::downgrade(tenant.ledger.keyring());
        drop((store, tenant));
        assert_eq!(keyring.strong_count(), 0);
    }
}
