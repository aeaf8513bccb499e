//! x
use super::Format;
use super::session::{Session, Source};
pub(super) fn read(_s: &mut Session<'_>, _v: Vec<Source>) -> Format { Format::default() }
