//! What each failure of storage, keys and read models is over HTTP.

use eventstore::keyring::KeyError;
use eventstore::ledger::codec::CodecError;
use eventstore::ledger::log::ReadError;
use eventstore::{AppendError, StoreError};
use projections::ProjectionError;

use super::{Code, Problem};
use crate::app::AppError;
use crate::desk::DeskError;
use crate::intake::IntakeError;
use crate::keys::IssueError;
use crate::requests::RequestError;

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(refusal) => refusal.into(),
            AppendError::KeyReused => Code::IdempotencyKeyReused.into(),
            AppendError::OpenBookings(count) => {
                Self::new(Code::ErasureBlocked).because(format!("open_bookings: {count}"))
            }
            AppendError::Codec(CodecError::TooLarge(_)) => Code::BodyTooLarge.into(),
            AppendError::Key(error) => error.into(),
            AppendError::Busy => Code::Busy.into(),
            AppendError::SealsDiffer => Self::ours(Code::Internal, &error),
            AppendError::Codec(
                CodecError::Malformed | CodecError::Body(_) | CodecError::Unwritable(_),
            )
            | AppendError::Read(_)
            | AppendError::Commit(_)
            | AppendError::Stopped => Self::ours(Code::Unavailable, &error),
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unknown => Code::NotFound.into(),
            RequestError::NotWaiting(_) | RequestError::NoApproval => Code::NotWaiting.into(),
            RequestError::Own => Code::OwnRequest.into(),
            RequestError::Expired => Code::ApprovalExpired.into(),
            RequestError::NoReceipt => Code::ReceiptPending.into(),
            RequestError::App(error) => error.into(),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => Code::NotFound.into(),
            KeyError::Erased => Code::Erased.into(),
            KeyError::Restricted => Code::Restricted.into(),
            KeyError::TooLong => Code::BodyTooLarge.into(),
            KeyError::NotDisclosed => Self::ours(Code::Internal, &error),
            KeyError::Missing | KeyError::Left | KeyError::Provider(_) | KeyError::Read(_) => {
                Self::ours(Code::Unavailable, &error)
            }
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::FieldOutOfPlace(field) => {
                Self::invalid(format!("/{}/{field}", group_of(field)), "out_of_place")
            }
            IntakeError::FieldMalformed(field) => {
                Self::invalid(format!("/{}/{field}", group_of(field)), "malformed")
            }
            IntakeError::ContentEnded => Self::invalid("/note", "content_ended"),
            IntakeError::Key(error) => error.into(),
        }
    }
}

/// Under which member of a body a field is given.
fn group_of(field: domain::Field) -> &'static str {
    match field.class() {
        domain::RetentionClass::Contact => "contact",
        domain::RetentionClass::Booking
        | domain::RetentionClass::Health
        | domain::RetentionClass::Consent
        | domain::RetentionClass::Accounting
        | domain::RetentionClass::Access => "fields",
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::PersonMismatch => Self::invalid("/role", "invalid"),
            IssueError::BadLabel => Self::invalid("/label", "invalid"),
            IssueError::Append(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Append(error) => error.into(),
            StoreError::UnknownTenant => Code::NotFound.into(),
            StoreError::Locked
            | StoreError::BadName
            | StoreError::TenantExists
            | StoreError::Behind { .. }
            | StoreError::Forked(_)
            | StoreError::MarkLost(_)
            | StoreError::KeysOfOthers(_)
            | StoreError::NotRotated(..)
            | StoreError::AliveBehindFence(_)
            | StoreError::AtWork
            | StoreError::NotInFiles
            | StoreError::KeyringAlone
            | StoreError::KeyringNotApart(_)
            | StoreError::ServersAlone
            | StoreError::UnknownServer(_)
            | StoreError::Closed(_)
            | StoreError::SamePlace(..)
            | StoreError::OlderExport { .. }
            | StoreError::InUse(_)
            | StoreError::NotClosed(_)
            | StoreError::NotWhole(_)
            | StoreError::Overtaken(_)
            | StoreError::Moving(_)
            | StoreError::NoExport(_)
            | StoreError::NotEmpty
            | StoreError::Tenant(..)
            | StoreError::Ledger(_)
            | StoreError::Provider(_)
            | StoreError::Io(_) => Self::ours(Code::Unavailable, &error),
        }
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Store(error) => error.into(),
            AppError::Append(error) => error.into(),
            AppError::Desk(error) => error.into(),
        }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        Self::ours(Code::Unavailable, &error)
    }
}

impl From<ProjectionError> for Problem {
    fn from(error: ProjectionError) -> Self {
        Self::ours(Code::Unavailable, &error)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        Self::ours(Code::Unavailable, &error)
    }
}

impl From<CodecError> for Problem {
    fn from(error: CodecError) -> Self {
        Self::ours(Code::Unavailable, &error)
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::ours(Code::Internal, &error)
    }
}
