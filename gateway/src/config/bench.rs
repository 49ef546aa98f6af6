//! What `bench` is told.

use clap::{Args, ValueEnum};

/// Whose shares of `GDPRbench`'s queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// As the paper has them.
    Paper,
    /// As its repository has them.
    Repo,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// Which measurements; all by default.
    pub names: Vec<String>,
    /// Runs of each, of which the median is shown.
    #[arg(long, default_value_t = 5)]
    pub runs: u32,
    /// Bookings that the store holds before measuring; for `gdpr` at most 100,000, and a tenth as many
    /// operations.
    #[arg(long, default_value_t = 1_000_000)]
    pub stored: u64,
    /// Seconds of each run; `gdpr` runs until its operations are done.
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,
    /// Tenants that the store holds before `tenants` is measured.
    #[arg(long, default_value_t = 200)]
    pub tenants: u64,
    /// How many clients `gdpr` has, each with one request at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=25))]
    pub clients: u64,
    /// Whose shares of the queries `gdpr` takes.
    #[arg(long, value_enum, default_value = "paper")]
    pub mix: Mix,
}
