//! Commands about clients: listed, restricted, held, erased.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::RetentionClass;
use domain::person::{HoldGround, RestrictionGround};
use jiff::civil::Date;

#[derive(Debug, Subcommand)]
pub enum Clients {
    /// Lists them.
    List {
        #[arg(long)]
        tenant: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Person {
    /// Keeps a client's data and has nobody use it (GDPR Art. 18).
    Restrict {
        #[command(flatten)]
        whom: Whom,
        #[arg(long, help = "accuracy_contested, unlawful, legal_claim or objection")]
        ground: RestrictionGround,
        /// The day on which it is to be looked at again; nothing lifts itself.
        #[arg(long)]
        until: Option<Date>,
    },
    /// Has the data used again. The client is to be told before (Art. 18(3)).
    Unrestrict {
        #[command(flatten)]
        whom: Whom,
    },
}

#[derive(Debug, Subcommand)]
pub enum Hold {
    /// Nothing of the client is erased, put right or ended by retention until it is lifted.
    Place(Held),
    /// What was due meanwhile ends with the next sweep.
    Lift(Held),
}

/// Which hold on whom.
#[derive(Debug, Args)]
pub struct Held {
    #[command(flatten)]
    pub whom: Whom,
    /// Only of this class: contact, booking, health, consent or accounting. Nobody is erased while
    /// anything of theirs is held.
    #[arg(long)]
    pub class: Option<RetentionClass>,
    #[arg(long, help = "legal_claim, legal_obligation or authority_order")]
    pub reason: HoldGround,
}

/// Which client of which tenant.
#[derive(Debug, Args)]
pub struct Whom {
    #[arg(long)]
    pub tenant: String,
    /// By the id that `clients list` shows.
    #[arg(long)]
    pub person: String,
}

#[derive(Debug, Args)]
pub struct Erase {
    #[arg(long)]
    pub tenant: String,
    /// Whom, by the ids that `clients list` shows.
    #[arg(long, num_args = 1.., required = true)]
    pub person: Vec<String>,
    /// Cancel their open bookings first; without it, a person with open bookings is refused.
    #[arg(long)]
    pub cancel_open: bool,
    /// Only show what would end and what would stay, on what ground and until when.
    #[arg(long, conflicts_with = "receipt")]
    pub dry_run: bool,
    /// Where to write the signed receipt; of several persons, one file each with its id in the name.
    #[arg(long)]
    pub receipt: Option<PathBuf>,
    /// For how many days backups are kept, as the receipt says.
    #[arg(long, env = "TIDBOK_BACKUP_DAYS", default_value_t = 21)]
    pub window: u32,
}

#[derive(Debug, Subcommand)]
pub enum Request {
    /// Lists the newest, and what each waits for.
    List {
        #[arg(long)]
        tenant: String,
    },
    /// Approves one that somebody else has asked for; carries it out if nothing else is to wait for.
    Approve(RequestId),
    /// Takes one back that still waits.
    Withdraw(RequestId),
    /// Writes the signed receipt of one that is done.
    Receipt {
        #[command(flatten)]
        which: RequestId,
        /// Where to. A file that is there is not written over.
        #[arg(long)]
        to: PathBuf,
        /// For how many days backups are kept, as the receipt says.
        #[arg(long, env = "TIDBOK_BACKUP_DAYS", default_value_t = 21)]
        window: u32,
    },
}

/// Which request of which tenant.
#[derive(Debug, Args)]
pub struct RequestId {
    /// By the id that `request list` shows.
    pub id: String,
    #[arg(long)]
    pub tenant: String,
}
