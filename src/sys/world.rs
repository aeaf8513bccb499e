pub struct SystemWorld;
impl SystemWorld {
    pub fn new() -> Self {
        Self
    }
}
