//! x
/// x
pub struct Unit;
/// x
pub fn to_systemd() {}
