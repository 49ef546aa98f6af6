//! Importing hotel bookings: as many rows as the hotel data have, of the same shape.

use std::fmt::Write as _;
use std::time::Instant;

use domain::slot::Zone;

use super::rig::Rig;
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::desk::Desk;
use crate::dice::Dice;
use crate::import;

const ROWS: u32 = 14_938;
const MAPPING: &str = include_str!("../../../examples/hotel/mapping.toml");

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    let folder = rig.folder.path();
    let file = |name: &str| folder.join(name);
    let failed = |error| CliError::File("a temporary folder".to_owned(), error);
    std::fs::write(file("hotel.csv"), csv()).map_err(failed)?;
    std::fs::write(file("hotel.toml"), MAPPING).map_err(failed)?;
    let (mut taken, mut wanted) = (vec![], vec![]);
    for run in 0..extent.runs {
        let tenant = rig.app.store.create_tenant(&format!("hotel-{run}"), Zone::utc())?;
        let desk = Desk::open(tenant)?;
        let start = Instant::now();
        let options = import::Options { dry_run: false, now: rig.app.env.clock.now() };
        let progress = |done, total| console.progress(done, total);
        let report =
            import::run(&desk, &file("hotel.csv"), &file("hotel.toml"), options, &progress)?;
        taken.push(start.elapsed().as_secs_f64());
        wanted.push(10.0);
        if report.refused_rows() > 0 {
            return Err(CliError::Bench("import", "rows were refused".to_owned()));
        }
    }
    Ok(vec![Figure::new("import_hotel", "s", &taken, "ten seconds", &wanted, "under 1")])
}

/// Rows with the columns of the hotel data and made-up values.
fn csv() -> String {
    let mut dice = Dice::new(1);
    let mut text = String::from(
        "hotel,is_canceled,lead_time,arrival_date_year,arrival_date_month,\
         arrival_date_day_of_month,stays_in_weekend_nights,stays_in_week_nights,adults,children,\
         babies,market_segment,distribution_channel,reserved_room_type,assigned_room_type,\
         booking_changes,reservation_status,reservation_status_date\n",
    );
    for _ in 0..ROWS {
        let hotel = if dice.roll(3) < 2 { "Resort Hotel" } else { "City Hotel" };
        let (status, cancelled) = match dice.roll(20) {
            0..=9 => ("Canceled", 1),
            10 => ("No-Show", 1),
            _ => ("Check-Out", 0),
        };
        let month = ["July", "August", "September", "October"];
        let month_number = dice.roll(4);
        let name =
            usize::try_from(month_number).ok().and_then(|at| month.get(at)).unwrap_or(&"July");
        let (day, nights) = (1 + dice.roll(20), dice.roll(8));
        let room = ["A", "C", "D", "E"];
        let room = usize::try_from(dice.roll(4)).ok().and_then(|at| room.get(at)).unwrap_or(&"A");
        let (lead, changes) = (dice.roll(200), dice.roll(9) / 8);
        let left = match status {
            "Check-Out" => day + nights,
            _ => day,
        };
        let row = writeln!(
            text,
            "{hotel},{cancelled},{lead},2015,{name},{day},0,{nights},2,0,0,Direct,Direct,{room},{room},\
             {changes},{status},{}/{left}/2015",
            7 + month_number,
        );
        row.expect("writing to a string cannot fail");
    }
    text
}
