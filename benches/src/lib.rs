//! The harness: what is measured, how, and what is written down.
//!
//! | module | holds |
//! | --- | --- |
//! | [`shapes`] | the cases: projections of real models, by name |
//! | [`count`] | operations and bytes of a case, and the time that an ideal kernel would need |
//! | [`data`] | weights and activations, on the host and on the device |
//! | [`reader`] | the kernel that reads memory: to flush the second-level cache, and as the ceiling |
//! | [`timer`] | event-timed graph replays: burst and sustained |
//! | [`measure`], [`suites`] | one case, and the cases of each operation |
//! | [`lessons`] | the kernels of `docs/lessons`, and their figures in its pages |
//! | [`session`] | how every run begins |
//! | [`clocks`] | SM clock and power while something runs |
//! | [`record`] | the JSON that is committed |
//! | [`names`], [`table`] | what the name of a case says, and plain tables |
//! | [`compare`] | two records, case by case |
//! | [`peers`], [`standing`] | times of other libraries, and where ours stand |
//! | [`plot`], [`drawings`] | records as pictures; pictures of layouts and of kernels |
//! | [`models`] | models and their projections |
//! | [`tensors_file`], [`verify`] | what the demo adds |

mod canvas;
pub mod clocks;
pub mod compare;
pub mod count;
pub mod data;
pub mod drawings;
pub mod lessons;
pub mod measure;
pub mod models;
pub mod names;
pub mod peers;
pub mod plot;
pub mod reader;
pub mod record;
pub mod session;
pub mod shapes;
pub mod standing;
pub mod suites;
pub mod table;
pub mod tensors_file;
pub mod timer;
pub mod verify;
