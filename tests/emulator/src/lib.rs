//! Executes PTX on the CPU and judges it more strictly than a GPU would.

pub mod capture;
pub mod driver;
pub mod exact;
pub mod ir;
pub mod lower;
pub mod machine;
pub mod memory;
pub mod mutate;
pub mod options;
pub mod race;
pub mod report;
pub mod semantics;
pub mod source;
pub mod syntax;
pub mod tensor_map;

pub use driver::EmulatorDriver;
pub use machine::{Emulator, Launch, LaunchError, Program};
pub use options::{Gpu, Options, ScaleCopies, Stats, Timing};
pub use report::{Report, ReportKind};

/// The README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
