//! Who calls, and whether they may: authentication and authorization as one extractor.
//!
//! A handler names its permission in its signature, as `Caller<MayBook>`; without one it has no
//! way to a tenant. Whoever comes with the position of their own write waits here until the read
//! models reflect it.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use domain::booking::Side;
use domain::ids::ActorId;
use domain::{
    Actor, BookingId, ConsentId, Handle, Position, ResourceId, RetentionClass, ServiceId,
};
use eventstore::{Append, Appended, IdKind, PersonId, Tenant};
use projections::{ProjectionError, Reader};

use crate::app::App;
use crate::desk::Desk;
use crate::keys::{Holder, Role};
use crate::metrics;
use crate::problem::{Code, Problem};
use crate::recipients;

/// How long a reader waits for the read models to reflect what they ask for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The header that says how many entries an answer reflects.
pub const POSITION: &str = "tidbok-position";

/// What a role may do.
pub trait Permission: Send + Sync + 'static {
    const ROLES: &'static [Role];
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $($role:ident)+;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Permission for $name {
            const ROLES: &'static [Role] = &[$(Role::$role),+];
        }
    )*};
}

permissions! {
    /// To see services, resources and free times.
    MaySeeCatalogue = Client Staff Admin Auditor;
    /// To change services and resources.
    MayChangeCatalogue = Admin;
    /// To ask for bookings, for oneself or for a client.
    MayBook = Client Staff Admin;
    /// To read bookings, a client only their own.
    MaySeeBookings = Client Staff Admin;
    /// To move and cancel bookings, a client only their own.
    MayChangeBookings = Client Staff Admin;
    /// To confirm, decline and tell what became of bookings.
    MayRunBookings = Staff Admin;
    /// To erase what was said around a booking.
    MayEraseContent = Admin;
    /// To register clients, find them and put their record right.
    MayKeepClients = Staff Admin;
    /// To restrict the use of a client's data, and to free it.
    MayRestrict = Staff Admin;
    /// To place and lift legal holds.
    MayHold = Admin;
    /// To see one's own record.
    IsClient = Client;
    /// To give and withdraw consents and accept policies, for oneself or at the desk.
    MayConsent = Client Staff Admin;
    /// To see the tenant's policy.
    MaySeePolicy = Staff Admin Auditor;
    /// To set the tenant's policy.
    MaySetPolicy = Admin;
    /// To exercise the rights of a person, for oneself or for a client.
    MayAskPrivacy = Client Staff Admin;
    /// To approve what somebody else has asked for and nobody can undo.
    MayApproveErasure = Admin;
    /// To see what was asked of the tenant about personal data.
    MaySeePrivacy = Staff Admin;
    /// To see who is given personal data, and what they were told.
    MaySeeRecipients = Staff Admin Auditor;
    /// To have a recipient's key to check notices with.
    MayKeepRecipients = Admin;
    /// To count.
    MayCount = Admin Auditor;
    /// To read the history.
    MayAudit = Admin Auditor;
    /// To see the log's signed checkpoint and the key that checks it. Nobody is to be kept from it.
    MaySeeCheckpoint = Client Staff Admin Auditor;
    /// To issue and revoke keys of staff, administrators and auditors.
    MayKeepKeys = Admin;
}

/// Somebody with a good key whose role has the permission `P`.
pub struct Caller<P> {
    pub app: Arc<App>,
    pub holder: Holder,
    granted: PhantomData<fn() -> P>,
}

/// Which key signed the request: part of what a repeat is known by.
#[derive(Debug, Clone)]
pub(crate) struct Signed(pub(crate) String);

impl<P: Permission> FromRequestParts<Arc<App>> for Caller<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let secret = bearer(&parts.headers).ok_or(Code::Unauthenticated)?;
        let holder = app.keys.recognise(app, secret).await?.ok_or(Code::Unauthenticated)?;
        if !P::ROLES.contains(&holder.role) {
            return Err(Code::Forbidden.into());
        }
        let signed = format!("{}.{}", holder.desk.tenant.name(), holder.key);
        parts.extensions.insert(Signed(signed));
        if parts.method.is_safe()
            && let Some(position) = asked_position(&parts.headers)?
            && !holder.desk.reflects(position, PATIENCE).await
        {
            return Err(Code::NotYet.into());
        }
        Ok(Self { app: Arc::clone(app), holder, granted: PhantomData })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn asked_position(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get(POSITION) else { return Ok(None) };
    let position = value.to_str().ok().and_then(|text| text.parse().ok());
    position.map(|position| Some(Position(position))).ok_or_else(|| Code::Malformed.into())
}

impl<P> Caller<P> {
    pub fn desk(&self) -> &Arc<Desk> {
        &self.holder.desk
    }

    pub fn tenant(&self) -> &Tenant {
        &self.holder.desk.tenant
    }

    pub fn is_client(&self) -> bool {
        self.holder.role == Role::Client
    }

    /// The person behind a client's key.
    pub fn person(&self) -> Option<PersonId> {
        self.holder.person.filter(|_| self.is_client())
    }

    /// On whose side the caller acts.
    pub fn side(&self) -> Side {
        if self.is_client() { Side::Client } else { Side::Staff }
    }

    /// As whom the caller acts. A client is their part of what is appended, which the ledger
    /// fills in where it is new.
    pub fn actor(&self) -> Actor {
        self.actor_as(Handle(0))
    }

    /// As whom the caller acts on something that has a part of theirs.
    pub fn actor_as(&self, part: Handle) -> Actor {
        match self.holder.role {
            Role::Client => Actor::Client(part),
            Role::Staff | Role::Admin | Role::Auditor => Actor::Key(ActorId(self.holder.key)),
        }
    }

    /// Decides a command and appends what follows.
    ///
    /// # Errors
    /// The refusal, or why nothing can be written.
    pub async fn append(&self, append: Append) -> Result<Appended, Problem> {
        Ok(metrics::append(&self.app, self.tenant(), append).await?)
    }

    /// Which classes of personal data are given out with this key; `None` are all.
    ///
    /// # Errors
    /// Where a program of somebody else's reads who is given nothing any more.
    pub fn given(&self) -> Result<Option<BTreeSet<RetentionClass>>, Problem> {
        let Some(recipient) = &self.holder.recipient else { return Ok(None) };
        let given = recipients::given(self.tenant(), recipient)?;
        given.map(Some).ok_or_else(|| Code::Forbidden.into())
    }

    /// Whether data of this class is given out with this key.
    ///
    /// # Errors
    /// Where a program of somebody else's reads who is not given it.
    pub fn may_see(&self, class: RetentionClass) -> Result<(), Problem> {
        match self.given()?.is_none_or(|given| given.contains(&class)) {
            true => Ok(()),
            false => Err(Code::Forbidden.into()),
        }
    }

    /// Whether this key may make others.
    ///
    /// # Errors
    /// Where a program of somebody else's asks: what is read with a key that is not theirs nobody takes down.
    pub fn may_issue(&self) -> Result<(), Problem> {
        match self.holder.recipient {
            Some(_) => Err(Code::Forbidden.into()),
            None => Ok(()),
        }
    }

    /// Takes down whose data is given out with this key, where a program of somebody else's reads.
    ///
    /// # Errors
    /// Where nothing can be written.
    pub async fn gives(&self, persons: &[PersonId]) -> Result<(), Problem> {
        let Some(recipient) = &self.holder.recipient else { return Ok(()) };
        let now = self.app.env.clock.now();
        Ok(self.tenant().give(persons.to_vec(), recipient, now).await?)
    }

    /// Waits until the read models reflect everything before `position`.
    ///
    /// # Errors
    /// Where they do not in time.
    pub async fn caught_up(&self, position: Position) -> Result<(), Problem> {
        match self.holder.desk.reflects(position, PATIENCE).await {
            true => Ok(()),
            false => Err(Code::NotYet.into()),
        }
    }

    /// Waits until the read models reflect everything that is committed.
    ///
    /// # Errors
    /// Where they do not in time.
    pub async fn caught_up_now(&self) -> Result<(), Problem> {
        self.caught_up(Position(self.tenant().log().size())).await
    }

    /// Asks the read models something; answers also how far they were before.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, ProjectionError>,
    ) -> Result<(T, Position), Problem> {
        let position = self.holder.desk.position();
        Ok((self.holder.desk.read(question)?, position))
    }

    /// Asks for something that may have been appended just now: once more when caught up.
    ///
    /// # Errors
    /// Where it is not there even then, or cannot be read.
    pub async fn find<T>(
        &self,
        question: impl Fn(&Reader) -> Result<Option<T>, ProjectionError>,
    ) -> Result<(T, Position), Problem> {
        if let (Some(found), position) = self.read(&question)? {
            return Ok((found, position));
        }
        self.caught_up_now().await?;
        let (found, position) = self.read(&question)?;
        Ok((found.ok_or(Code::NotFound)?, position))
    }

    /// Shows a number outside.
    pub fn show(&self, kind: IdKind, number: u64) -> String {
        self.tenant().ids().show(kind, number)
    }

    /// The number behind an id; another tenant's id is no id here.
    ///
    /// # Errors
    /// Where it is none of this tenant and kind.
    pub fn read_id(&self, kind: IdKind, id: &str) -> Result<u64, Problem> {
        self.tenant().ids().read(kind, id).ok_or_else(|| Code::NotFound.into())
    }

    /// As [`Self::read_id`], for an id in a body.
    ///
    /// # Errors
    /// As [`Self::read_id`], naming the place.
    pub fn read_id_at(&self, kind: IdKind, id: &str, pointer: &str) -> Result<u64, Problem> {
        self.read_id(kind, id).map_err(|problem| problem.at(pointer, "not_found"))
    }

    pub(crate) fn booking_id(&self, id: &str) -> Result<BookingId, Problem> {
        self.read_id(IdKind::Booking, id).map(BookingId)
    }

    pub(crate) fn service_id(&self, id: &str) -> Result<ServiceId, Problem> {
        self.read_id(IdKind::Service, id).map(ServiceId)
    }

    pub(crate) fn resource_id(&self, id: &str) -> Result<ResourceId, Problem> {
        self.read_id(IdKind::Resource, id).map(ResourceId)
    }

    pub(crate) fn consent_id(&self, id: &str) -> Result<ConsentId, Problem> {
        self.read_id(IdKind::Consent, id).map(ConsentId)
    }

    pub(crate) fn client_id(&self, id: &str) -> Result<PersonId, Problem> {
        self.read_id(IdKind::Client, id).map(PersonId)
    }

    /// Whom a request is about, named at `pointer`: a client is always themselves, and others do
    /// not exist for them.
    ///
    /// # Errors
    /// Where nobody is named, or somebody the caller does not know.
    pub fn subject(&self, named: Option<&str>, pointer: &str) -> Result<PersonId, Problem> {
        let named = match named {
            Some(id) => Some(PersonId(self.read_id_at(IdKind::Client, id, pointer)?)),
            None => None,
        };
        match (self.person(), named) {
            (Some(own), Some(other)) if own != other => {
                Err(Problem::new(Code::NotFound).at(pointer, "not_found"))
            }
            (Some(own), _) => Ok(own),
            (None, Some(named)) => Ok(named),
            (None, None) => Err(Problem::invalid(pointer, "missing")),
        }
    }
}
