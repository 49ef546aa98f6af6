//! Replaying a ledger with every seal opened, beside the same replay without opening.

use std::time::Instant;

use domain::ledger::ReadPurpose;
use domain::{Actor, Position, RetentionClass};
use eventstore::Opening;
use eventstore::ledger::replay::Replay;

use super::rig::Rig;
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;

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
    let all = Position(0)..Position(size);
    let replay = if open { Replay::with_seals(log, all) } else { Replay::of(log, all) };
    let (mut done, mut sound) = (0, true);
    for page in replay? {
        let mut page = page?;
        if open {
            let openings = page.open(tenant.keyring(), &ticket)?;
            let opened = |opening: &Opening| matches!(opening, Opening::Live(_) | Opening::Erased);
            sound &= openings.iter().all(opened);
        }
        done += u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
        console.progress(done, size);
    }
    let taken = start.elapsed().as_secs_f64();
    if !sound || done != size {
        return Err(CliError::Bench("replay", "a seal did not open".to_owned()));
    }
    Ok(size as f64 / taken)
}
