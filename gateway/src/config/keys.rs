//! Commands about keys: rotated, entrusted, lost and found.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Wraps everything anew under a new key, or goes on with a rotation that was cut off, and
    /// destroys the keys of epochs that ended longer ago than backups are kept.
    Rotate {
        /// For how many days backups are kept.
        #[arg(long, env = "TIDBOK_BACKUP_DAYS", default_value_t = 21)]
        window: u32,
    },
    /// Has a tenant's log signed with another key, and by the one before too until readers know the
    /// new one. An entry of the ledger names both.
    RotateLog {
        #[arg(long)]
        tenant: String,
        /// Let the key before sign no more, and make no other.
        #[arg(long)]
        forget_former: bool,
    },
    /// Signs the second receipt of an erasure: that no backup can be opened for it any more.
    Confirm {
        #[arg(long)]
        tenant: String,
        /// The first receipt, which `erase --receipt` has written.
        #[arg(long)]
        receipt: PathBuf,
        /// Where to write the second.
        #[arg(long)]
        to: PathBuf,
        /// For how many days backups are kept.
        #[arg(long, env = "TIDBOK_BACKUP_DAYS", default_value_t = 21)]
        window: u32,
    },
    /// Has epoch keys made in an HSM from now on: the first one where there is no key store yet,
    /// else with the next rotation. Earlier ones stay where they are until their epoch ends.
    Hsm {
        /// The PKCS#11 module that the HSM's maker gives out, a shared library.
        #[arg(long)]
        module: PathBuf,
        /// The label of the token.
        #[arg(long)]
        token: String,
        /// A private file with the PIN of the token's user. It is read whenever a session begins.
        #[arg(long)]
        pin_file: PathBuf,
    },
    /// Has epoch keys made by AWS KMS, or a service that speaks its protocol, from now on, as `hsm`
    /// does. Who may use it is said as for all programs of AWS's: by the environment, a profile or the
    /// machine's role.
    Kms {
        /// The region, such as eu-north-1.
        #[arg(long)]
        region: String,
        /// The address of a service that is not AWS's own.
        #[arg(long)]
        endpoint: Option<String>,
    },
    /// Makes a key store of its archive, where there is none.
    Restore {
        /// The archive, which `backup --keys-to` has made.
        #[arg(long)]
        from: PathBuf,
        /// A file with the age identity that it was made for.
        #[arg(long)]
        identity: PathBuf,
    },
    /// Shows the epochs, the oldest backup that can still be opened, and by when each erasure is
    /// out of reach of every backup.
    Status {
        /// For how many days backups are kept.
        #[arg(long, env = "TIDBOK_BACKUP_DAYS", default_value_t = 21)]
        window: u32,
    },
}
