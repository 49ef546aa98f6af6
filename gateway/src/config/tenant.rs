//! Commands about tenants as wholes: made, listed, moved.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Makes a tenant.
    Create {
        name: String,
        /// The IANA time zone it lives in, such as Europe/Stockholm.
        #[arg(long)]
        zone: String,
        /// On which of the servers that --server names [default: that of --ledger].
        #[arg(long, value_name = "SERVER")]
        on: Option<String>,
    },
    /// Lists the tenants, where they are, and which are out of use.
    List,
    /// Moves a tenant to another server while all others go on; it answers again in a moment. A move
    /// that was cut off goes on, or back, with the same command.
    Place {
        #[arg(long)]
        tenant: String,
        /// To which of the servers that --server names, or `main`: that of --ledger.
        #[arg(long, value_name = "SERVER")]
        on: String,
        /// Give up what may be left of it on a server that it came from and that is lost.
        #[arg(long)]
        forsake: bool,
    },
    /// Takes a tenant out of use and writes all of it into a folder, from which `import` puts it into
    /// use elsewhere: in files or a database, with the same key store.
    Export {
        #[arg(long)]
        tenant: String,
        /// A folder that is empty or not there yet.
        #[arg(long)]
        to: PathBuf,
    },
    /// Puts a tenant into use that `export` has written into a folder.
    Import {
        #[arg(long)]
        from: PathBuf,
        /// On which of the servers that --server names [default: that of --ledger].
        #[arg(long, value_name = "SERVER")]
        on: Option<String>,
        /// Give up what may be left of it on servers that are lost.
        #[arg(long)]
        forsake: bool,
    },
    /// Deletes what is here of a tenant that was exported, once it is in use elsewhere.
    Remove {
        #[arg(long)]
        tenant: String,
    },
}
