//! Every code that a problem can have, with its status and what to do about it. `docs/API.md`
//! shows the same table, and a test compares.

use axum::http::StatusCode;

macro_rules! codes {
    ($($code:ident = $status:literal $name:literal, $title:literal, $advice:literal;)*) => {
        /// Why a request was not carried out, in a word that stays the same.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($code,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            pub fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            /// What whoever asked can do.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$code => $advice,)* }
            }
        }
    };
}

codes! {
    Malformed = 400 "malformed", "The request cannot be read",
        "Send valid HTTP, and JSON in UTF-8.";
    IdempotencyKeyMissing = 400 "idempotency_key_missing", "There is no Idempotency-Key",
        "Send a header Idempotency-Key of 1 to 255 visible characters, a new one for each new wish.";
    Unauthenticated = 401 "unauthenticated", "The caller is unknown",
        "Send a valid key as `Authorization: Bearer ...`; ask the tenant's administrator for one.";
    Forbidden = 403 "forbidden", "The caller may not do this",
        "Use a key of a role that may.";
    NotFound = 404 "not_found", "There is no such thing",
        "Check the address and the ids; they belong to one tenant each.";
    MethodNotAllowed = 405 "method_not_allowed", "The address does not take this method",
        "Use one of the methods in the header Allow.";
    SlotUnavailable = 409 "slot_unavailable", "The time is not free",
        "Ask for availability and choose another time.";
    CapacityExceeded = 409 "capacity_exceeded", "The resource has fewer places",
        "Ask for fewer places, at least one.";
    WrongStatus = 409 "wrong_status", "The booking's status does not allow this",
        "Read the booking again and look at its status.";
    NotStarted = 409 "not_started", "The time has not begun yet",
        "Try again once the booking's time has begun.";
    CancellationClosed = 409 "cancellation_closed", "The deadline for cancelling has passed",
        "Contact the tenant: staff can still cancel.";
    AlreadyWithdrawn = 409 "already_withdrawn", "The consent was already withdrawn",
        "Nothing is left to be done.";
    NotWithdrawable = 409 "not_withdrawable", "An acceptance is no consent",
        "Accepting a policy cannot be withdrawn; consents can.";
    GroupExists = 409 "group_exists", "A group of this name exists",
        "Use the group that exists.";
    FieldRequired = 409 "field_required_by_service", "A service still requires the field",
        "Revise the service first, then the policy.";
    ErasureBlocked = 409 "erasure_blocked", "Something stands in the way of the erasure",
        "See the reasons; open bookings can be cancelled with cancel_open_bookings.";
    Restricted = 409 "restricted", "The person's data is restricted",
        "Wait until the restriction is lifted.";
    LegalHold = 409 "legal_hold", "A legal hold keeps what there is",
        "An administrator can lift the hold once its ground is gone; nothing was changed.";
    Unchanged = 409 "unchanged", "It stands so already",
        "Nothing is left to be done.";
    NotWaiting = 409 "not_waiting", "The request does not wait for this",
        "Read the request and look at its state.";
    OwnRequest = 409 "own_request", "Somebody else has to approve",
        "Ask another administrator: nobody approves what they have asked for.";
    ApprovalExpired = 409 "approval_expired", "The request was not approved in time",
        "Nothing was erased. Ask for the erasure again.";
    ReceiptPending = 409 "receipt_pending", "There is no receipt yet",
        "It is signed once no node can open anything any more, within a minute after the erasure.";
    Erased = 410 "erased", "The person has been erased",
        "Nothing is left to be had. Somebody who comes back is registered anew.";
    VersionConflict = 412 "version_conflict", "It has changed since it was read",
        "Read it again and send its new ETag as If-Match.";
    BodyTooLarge = 413 "body_too_large", "The body is too large",
        "Send at most 64 KiB.";
    UnsupportedMediaType = 415 "unsupported_media_type", "The body is no JSON by its own word",
        "Send `Content-Type: application/json`.";
    Validation = 422 "validation", "Some values cannot be taken",
        "See the pointers and put the values right.";
    NonexistentLocalTime = 422 "nonexistent_local_time", "The clocks skip this local time",
        "Choose a time before or after the gap, or give it with its offset from UTC.";
    AmbiguousLocalTime = 422 "ambiguous_local_time", "This local time comes twice",
        "Give it with its offset from UTC.";
    ServiceNotOffered = 422 "service_not_offered", "The service is not offered",
        "Choose another service.";
    ResourceNotOffered = 422 "resource_not_offered", "The resource is not offered for this service",
        "Choose another resource.";
    OutsideOpeningHours = 422 "outside_opening_hours", "The time lies outside the opening hours",
        "Ask for availability and choose another time.";
    WrongLength = 422 "wrong_length", "The service does not take this long",
        "Look at the service's length.";
    AlreadyStarted = 422 "already_started", "The time has already begun",
        "Choose a time to come; staff can cancel what has begun.";
    FieldNotCollected = 422 "field_not_collected", "The tenant does not collect this field",
        "Leave the field out.";
    FieldMissing = 422 "field_required", "The service needs a field that was not given",
        "Give the field.";
    IdempotencyKeyReused = 422 "idempotency_key_reused", "The Idempotency-Key was used before",
        "Use a new key for a new request; repeat an old one with the same body.";
    PreconditionRequired = 428 "precondition_required", "There is no If-Match",
        "Read it first and send its ETag as If-Match.";
    Internal = 500 "internal", "We made a mistake",
        "Tell the operator the X-Request-Id. Repeating with the same Idempotency-Key is safe.";
    Unavailable = 503 "unavailable", "The storage or the key store cannot be used",
        "Try again later. Repeating with the same Idempotency-Key is safe.";
    Busy = 503 "busy", "Too many requests are waiting",
        "Try again after the time in Retry-After.";
    NotYet = 503 "not_yet", "The read models are not there yet",
        "Try again after the time in Retry-After. What was written stands.";
    NotWitnessed = 503 "not_witnessed", "Too few witnesses have signed a checkpoint yet",
        "Try again after the time in Retry-After; if it stays, the administrator tells the \
        witnesses the log's name and key.";
    TimedOut = 504 "timed_out", "It took too long",
        "Whether it was carried out is unknown. Repeat it with the same Idempotency-Key.";
}

impl Code {
    /// Seconds after which trying again makes sense.
    pub fn retry_after(self) -> Option<u32> {
        match self.status() {
            503 | 504 => Some(1),
            _ => None,
        }
    }

    /// What an answer of the framework's own comes to.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            413 => Self::BodyTooLarge,
            415 => Self::UnsupportedMediaType,
            503 => Self::Busy,
            504 => Self::TimedOut,
            400..=499 => Self::Malformed,
            _ => Self::Internal,
        }
    }
}
