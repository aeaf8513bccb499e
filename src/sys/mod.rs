//! Thin safe wrappers over system calls and the system's databases.

pub mod world;
