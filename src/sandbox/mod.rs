//! Confinement of programs beyond what every child gets.

pub mod cgroup;
