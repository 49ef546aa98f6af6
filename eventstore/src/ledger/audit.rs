//! Auditing a ledger.
