//! The program `tidbok`.

use std::process::ExitCode;

/// Callers allocate what the writer frees, which this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::main()
}
