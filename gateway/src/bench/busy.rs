//! A busy day: three of ten commands are after times on the same resource and day.

use super::rig::{Rig, Wish};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    let (mut calm, mut busy) = (vec![], vec![]);
    for _ in 0..extent.runs {
        calm.push(rig.rate(64, extent.run, Wish::Anywhere)?);
        busy.push(rig.rate(64, extent.run, Wish::BusyDay)?);
    }
    let wanted = "at least 0.5";
    Ok(vec![Figure::new("busy_day_64", "bookings/s", &busy, "no conflicts", &calm, wanted)])
}
