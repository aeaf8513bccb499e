pub fn check(_: &crate::cli::Check) -> u8 {
    0
}
