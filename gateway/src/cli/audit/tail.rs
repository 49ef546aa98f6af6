//! `audit tail`: follows a ledger that another process writes, and holds each entry against the
//! tree as it comes.

use std::time::Duration;

use domain::Position;
use domain::ids::Hash;
use eventstore::EntryBytes;
use eventstore::store::TenantView;
use eventstore::tree::leaf_hash;
use serde_json::json;

use crate::cli::console::Console;
use crate::cli::{CliError, Outcome};

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(250);
/// How many entries are read at once.
const PAGE: usize = 1000;

/// Tells every entry that comes from now on, one to a line; ends after `count`, or where the
/// ledger no longer continues what it was.
pub(super) fn follow(
    view: &TenantView,
    count: Option<u64>,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let mut seen = view.log.head()?.frontier;
    let end = count.map(|count| seen.size().saturating_add(count));
    loop {
        let head = view.log.head()?.frontier;
        let size = head.size();
        if size < seen.size() {
            return Ok(broken(console, "rollback", size));
        }
        while seen.size() < size {
            let from = Position(seen.size());
            let left = usize::try_from(size - from.0).unwrap_or(PAGE).min(PAGE);
            let entries = view.log.entries(from, left)?;
            if entries.is_empty() {
                return Ok(broken(console, "entry_missing", from.0));
            }
            for entry in entries {
                seen.push(leaf_hash(&entry.bytes));
                tell(console, &entry);
            }
        }
        if seen != head {
            return Ok(broken(console, "fork", size));
        }
        if end.is_some_and(|end| seen.size() >= end) {
            return Ok(Outcome::Done);
        }
        std::thread::sleep(PAUSE);
    }
}

fn tell(console: &mut Console, entry: &EntryBytes) {
    let at = entry.position.0;
    let leaf = Hash(entry.leaf).to_string();
    let recorded = entry.decode().ok().map(|entry| entry.recorded);
    let kind = recorded.as_ref().map_or("unreadable", |recorded| recorded.event.kind().name());
    let time = recorded.as_ref().map(|recorded| recorded.recorded_at.to_string());
    let line = json!({ "position": at, "kind": kind, "recorded_at": time, "leaf": leaf });
    console.answer(&line, format!("{at} {} {kind} {leaf}", time.as_deref().unwrap_or("-")));
}

fn broken(console: &mut Console, code: &str, at: u64) -> Outcome {
    let line = json!({ "finding": code, "position": at });
    console
        .answer(&line, format!("{code} at entry {at}: the ledger no longer continues what it was"));
    Outcome::Found
}
