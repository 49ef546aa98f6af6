//! Replaying a ledger with every seal opened, beside the same replay without opening.

use std::time::Instant;

use domain::ledger::ReadPurpose;
use domain::{Actor, Position, RetentionClass};
use eventstore::{Opening, SealAt};

use super::rig::Rig;
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;

const STRIDE: usize = 2000;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    let (mut opened, mut unopened) = (vec![], vec![]);
    for _ in 0..extent.runs {
        unopened.push(replay(rig, false, console)?);
        opened.push(replay(rig, true, console)?);
    }
    let wanted = "at least 0.5";
    Ok(vec![Figure::new("replay_opened", "entries/s", &opened, "not opened", &unopened, wanted)])
}

/// Entries per second, each decoded.
fn replay(rig: &Rig, open: bool, console: &Console) -> Result<f64, CliError> {
    let tenant = &rig.bench.tenant;
    let purpose = ReadPurpose::Audit;
    let classes = [RetentionClass::Contact, RetentionClass::Booking];
    let ticket = tenant.disclose(Actor::System, purpose, &classes, &[]);
    let ticket = rig.runtime.block_on(ticket)?;
    let log = tenant.log();
    let (size, start) = (log.size(), Instant::now());
    let mut next = Position(0);
    let mut sound = true;
    while next.0 < size {
        let entries = log.entries(next, STRIDE)?;
        let mut seals = Vec::new();
        for entry in &entries {
            let event = entry
                .decode()
                .map_err(|error| CliError::Bench("replay", error.to_string()))?
                .recorded
                .event;
            next = entry.position.next();
            seals.extend(event.seals().into_iter().map(|seal| SealAt {
                position: entry.position,
                kind: event.kind(),
                seal,
            }));
        }
        if open {
            let openings = tenant.keyring().open(&ticket, &seals)?;
            let opened = |opening: &Opening| matches!(opening, Opening::Live(_) | Opening::Erased);
            sound &= openings.iter().all(opened);
        }
        console.progress(next.0, size);
    }
    let taken = start.elapsed().as_secs_f64();
    if !sound {
        return Err(CliError::Bench("replay", "a seal did not open".to_owned()));
    }
    Ok(size as f64 / taken)
}
