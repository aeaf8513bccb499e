//! One file for each command of the program.

pub mod convert;
