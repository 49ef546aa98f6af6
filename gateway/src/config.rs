//! Configuration: the command line, and the only reader of the environment (through clap's `env`).

mod bench;
mod keys;
mod people;
mod tenant;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use eventstore::proof::witness::Witness;
use eventstore::store::Databases;
use eventstore::store::cluster::NamedServer;

use crate::receipt::words::Language;
pub use bench::{Bench, Mix};
pub use keys::Keys;
pub use people::{Clients, Erase, Held, Hold, Person, Request, RequestId, Whom};
pub use tenant::Tenant;
use values::named_server;
pub(crate) use values::{each, withheld};

/// Tidbok, an appointment book that can forget: bookings and consents as immutable history,
/// persons erasable, statistics unchanged.
#[derive(Debug, Parser)]
#[command(name = "tidbok", version, about, propagate_version = true)]
pub struct Config {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

impl Config {
    /// What a command line and the environment say.
    ///
    /// # Errors
    /// Where they are none, or ask for help. What is told of an error goes through `withheld`.
    pub fn read<T: Into<OsString> + Clone>(
        args: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let mut told = Self::command().try_get_matches_from(args)?;
        let named = |told: &ArgMatches| told.value_source("data") == Some(ValueSource::CommandLine);
        let is_named = named(&told) || told.subcommand().is_some_and(|(_, told)| named(told));
        let mut config = Self::from_arg_matches_mut(&mut told)?;
        config.place.is_named = is_named;
        // Not by the parser, which repeats what it does not understand.
        let servers = each(&config.place.server).map(named_server).collect::<Result<_, _>>();
        let wrong = |why| Self::command().error(ErrorKind::ValueValidation, why);
        config.place.servers = servers.map_err(wrong)?;
        Ok(config)
    }
}

/// Where everything lies, and how to answer.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The data directory.
    #[arg(long, global = true, env = "TIDBOK_DATA", default_value = "tidbok-data")]
    pub data: PathBuf,
    /// Whether the command line itself names the data directory.
    #[arg(skip)]
    pub is_named: bool,
    /// The key store, which belongs on another disk and in another backup [default: DATA.keys].
    #[arg(long, global = true, env = "TIDBOK_KEYS")]
    pub keys: Option<PathBuf>,
    /// The PostgreSQL database that holds the ledgers, such as `postgres://user@host/db`;
    /// without it they are files in the data directory. Many nodes may share one: each with a data
    /// directory of its own, all with the same key store.
    #[arg(long, global = true, env = "TIDBOK_LEDGER", hide_env_values = true)]
    pub ledger: Option<String>,
    /// Another PostgreSQL database, for the keyrings of the tenants that are made; without it they are
    /// with the ledgers. Its server needs `max_prepared_transactions`.
    #[arg(long, global = true, env = "TIDBOK_KEYRING", hide_env_values = true)]
    pub keyring: Option<String>,
    /// Another server with ledgers, such as `north=postgres://user@host/db`; the directory in the
    /// database of --ledger says which tenants are on it. May be named several times.
    #[arg(
        long,
        global = true,
        env = "TIDBOK_SERVERS",
        hide_env_values = true,
        value_name = "NAME=ADDRESS"
    )]
    pub server: Vec<String>,
    #[arg(skip)]
    pub(crate) servers: Vec<NamedServer>,
    /// How much a server logs: error, warn, info, debug, or a filter such as `gateway=debug`.
    #[arg(long, global = true, env = "TIDBOK_LOG", default_value = "info")]
    pub log: String,
    /// Answer with one JSON value on standard output.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Place {
    /// Where ledgers and keyrings are.
    pub fn databases(&self) -> Databases<'_> {
        Databases {
            ledger: self.ledger.as_deref(),
            keyring: self.keyring.as_deref(),
            servers: &self.servers,
        }
    }

    /// The key store's folder.
    pub fn keys(&self) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| beside(&self.data, "keys"))
    }

    /// The socket on which a running server takes commands.
    pub fn socket(&self) -> PathBuf {
        self.data.join("tidbok.sock")
    }
}

/// `DIR.suffix` beside `DIR`, whatever slashes it was given with.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.components().collect::<PathBuf>().into_os_string();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts a server with sample tenants and prints what to try. They are in a temporary folder, or
    /// in the directory that --data names.
    Demo(Demo),
    /// Serves the HTTP interface until it is told to stop.
    Serve(Serve),
    /// Makes, lists and moves tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Issues, lists and revokes API keys.
    #[command(subcommand)]
    Key(Key),
    /// Rotates the keys that everything is sealed under, and shows how far that has come.
    #[command(subcommand)]
    Keys(Keys),
    /// Ends what tenants keep no longer by their own policy.
    #[command(subcommand)]
    Retention(Retention),
    /// Imports bookings from a CSV file through a mapping.
    Import(Import),
    /// Lists clients by opaque id, without personal data.
    #[command(subcommand)]
    Clients(Clients),
    /// Restricts the use of a client's data, and frees it.
    #[command(subcommand)]
    Person(Person),
    /// Places and lifts legal holds.
    #[command(subcommand)]
    Hold(Hold),
    /// Erases persons: for good, everywhere, at once, or when the tenant's policy lets it.
    Erase(Erase),
    /// Shows requests for erasure, approves them and takes them back; writes receipts.
    #[command(subcommand)]
    Request(Request),
    /// Replays and verifies the history.
    #[command(subcommand)]
    Audit(Audit),
    /// Shows and rebuilds read models.
    #[command(subcommand)]
    Projections(Projections),
    /// Counts bookings by facets.
    Stats(Stats),
    /// Backs up all tenants while they are served, encrypted, in archives that end on their day.
    Backup(Backup),
    /// Brings tenants back from a backup, or takes up an older copy of a tenant's ledger.
    Restore(Restore),
    /// Prints the OpenAPI description of the HTTP interface.
    Openapi,
    /// Measures this machine.
    Bench(Bench),
}

#[derive(Debug, Args)]
pub struct Demo {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "TIDBOK_LISTEN", default_value = "127.0.0.1:8017")]
    pub listen: String,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The address to listen on.
    #[arg(long, env = "TIDBOK_LISTEN", default_value = "127.0.0.1:8017")]
    pub listen: String,
    /// After how many days keys are rotated; 0 leaves it to `keys rotate`.
    #[arg(long, env = "TIDBOK_ROTATE_DAYS", default_value_t = 7)]
    pub rotate_every: u32,
    /// For how many days backups are kept: as long, old keys are.
    #[arg(long, env = "TIDBOK_BACKUP_DAYS", default_value_t = 21)]
    pub window: u32,
    /// Let notices to recipients go to private addresses and unencrypted too: for a house whose
    /// recipients are in it. Not for whoever serves tenants that others administer.
    #[arg(long, env = "TIDBOK_PRIVATE_RECIPIENTS")]
    pub private_recipients: bool,
    /// A witness that is to sign the logs' checkpoints before they are published, as VKEY=URL. May be
    /// named several times.
    #[arg(long, env = "TIDBOK_WITNESSES", hide_env_values = true, value_name = "VKEY=URL")]
    pub witness: Vec<String>,
    /// How many of the witnesses have to sign [default: all].
    #[arg(long, env = "TIDBOK_WITNESS_QUORUM", requires = "witness")]
    pub witness_quorum: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub enum Retention {
    /// Ends what was said around bookings that have been over for longer than the tenant's policy
    /// keeps it. A running server does so every day.
    Run {
        /// Of this tenant only.
        #[arg(long)]
        tenant: Option<String>,
        /// Only list what is due, and by which rule.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Issues a key and shows it, this once.
    Create {
        #[arg(long)]
        tenant: String,
        /// client, staff, admin or auditor.
        #[arg(long)]
        role: String,
        /// What the key is for; no names of clients.
        #[arg(long, default_value = "")]
        label: String,
        /// Whose key it is, for the role client.
        #[arg(long)]
        person: Option<String>,
        /// For whom a program reads with it, by the policy's name of the recipient.
        #[arg(long)]
        recipient: Option<String>,
    },
    /// Lists keys, without their secrets.
    List {
        #[arg(long)]
        tenant: String,
    },
    /// Revokes a key.
    Revoke {
        id: String,
        #[arg(long)]
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub struct Import {
    /// The CSV file.
    pub file: PathBuf,
    /// The mapping from its columns, in TOML (see docs/IMPORT.md).
    #[arg(long)]
    pub mapping: PathBuf,
    #[arg(long)]
    pub tenant: String,
    /// Only report what would happen.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Tells the history, with every blank and why it is one.
    Replay {
        #[arg(long)]
        tenant: String,
        #[arg(long)]
        resource: Option<String>,
        #[arg(long)]
        booking: Option<String>,
        /// Up to a position or a time (RFC 3339) of recording.
        #[arg(long)]
        as_of: Option<String>,
    },
    /// Checks every entry, seal and rule; or a log in a folder, with nothing but its files.
    Verify {
        #[arg(long, required_unless_present = "from", conflicts_with = "from")]
        tenant: Option<String>,
        /// A folder that `audit export` or a server of tiles has filled.
        #[arg(long)]
        from: Option<PathBuf>,
        /// A checkpoint of earlier, with which the log must begin.
        #[arg(long)]
        since: Option<PathBuf>,
        /// The log's verifier key from a source of your own [default: FROM/log.vkey].
        #[arg(long, requires = "from")]
        vkey: Option<PathBuf>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Writes the log as files for everybody's tools: checkpoint, tiles, verifier key.
    Export {
        #[arg(long)]
        tenant: String,
        /// An empty folder, or one with an earlier export, which is continued.
        #[arg(long)]
        to: PathBuf,
    },
    /// Follows the log as it grows, holding every entry against the tree.
    Tail {
        #[arg(long)]
        tenant: String,
        /// End after so many entries.
        #[arg(long)]
        count: Option<u64>,
    },
    /// Writes the proof that a booking or a consent stands in the log.
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Proof {
        #[arg(long)]
        tenant: String,
        #[arg(long, group = "what")]
        booking: Option<String>,
        #[arg(long, group = "what")]
        consent: Option<String>,
        #[arg(long)]
        to: PathBuf,
    },
    /// Checks the receipt of an erasure, with nothing but the file, and says what it proves.
    Receipt {
        file: PathBuf,
        /// The log's verifier key from a source of your own [default: the one in the receipt].
        #[arg(long)]
        vkey: Option<PathBuf>,
        #[command(flatten)]
        asked: Asked,
        #[arg(long, value_enum, default_value = "en")]
        language: Language,
    },
    /// Checks such a proof, with nothing but the log's verifier key.
    CheckProof {
        file: PathBuf,
        #[arg(long)]
        vkey: PathBuf,
        #[command(flatten)]
        asked: Asked,
    },
}

/// Who else is asked for.
#[derive(Debug, Args)]
pub struct Asked {
    /// The key of a witness that is to have signed the checkpoint too. May be named several times.
    #[arg(long)]
    pub witness: Vec<Witness>,
    /// How many of the witnesses have to have signed [default: all].
    #[arg(long, requires = "witness")]
    pub quorum: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub enum Projections {
    /// Shows how far each read model is.
    Status {
        #[arg(long)]
        tenant: String,
    },
    /// Builds the read models again beside the live ones and swaps them in.
    Rebuild {
        #[arg(long)]
        tenant: String,
        /// Compare before and after; exit 1 where they differ.
        #[arg(long)]
        verify: bool,
    },
}

#[derive(Debug, Args)]
pub struct Stats {
    #[arg(long)]
    pub tenant: String,
    /// outcome, group, service, day, month, year, hour, lead, party, channel, nth; more nest.
    #[arg(long, value_delimiter = ',', default_value = "outcome")]
    pub by: Vec<String>,
    /// As the ledger stood at a position or a time of recording.
    #[arg(long)]
    pub as_of: Option<String>,
    /// As things stood at a time, by when they occurred.
    #[arg(long, conflicts_with = "as_of")]
    pub occurred: Option<String>,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// Which tenant; all of the backup where none is named.
    #[arg(long, required_unless_present = "from")]
    pub tenant: Option<String>,
    /// Bring tenants back from this folder, which `backup` has made. What is in place is not
    /// written over.
    #[arg(long, requires = "identity")]
    pub from: Option<PathBuf>,
    /// A file with the age identity that the backup was made for.
    #[arg(long, requires = "from")]
    pub identity: Option<PathBuf>,
    /// Accept that what an older copy lacks is lost. The erased stay erased.
    #[arg(long, required_unless_present = "from")]
    pub accept_loss: bool,
    /// Only see whether the backup could be brought back, all of it, and take note of that.
    #[arg(long, requires = "from", conflicts_with_all = ["tenant", "accept_loss"])]
    pub check: bool,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// The folder in which the backup gets a folder of its own.
    #[arg(long, required_unless_present = "keys_to")]
    pub to: Option<PathBuf>,
    /// Where to put an archive of the key store: elsewhere, for it opens every backup of its time.
    #[arg(long)]
    pub keys_to: Option<PathBuf>,
    /// Whom to encrypt it to (age1...); several may be named.
    #[arg(long, required = true)]
    pub recipient: Vec<String>,
    /// For how many days backups are kept.
    #[arg(long, env = "TIDBOK_BACKUP_DAYS", default_value_t = 21)]
    pub window: u32,
}
