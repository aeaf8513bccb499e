//! stub
#![allow(missing_docs, reason = "stub")]
pub enum Main<'a> {
    Named(&'a std::path::Path),
    Default,
    Text { name: &'a str, text: &'a str },
}
pub struct Host;
impl Host {
    pub fn new(_: u32, _: u32, _: &crate::sys::world::SystemWorld) -> Self {
        Self
    }
}
pub enum Format {
    Human { color: bool },
}
pub struct Report;
impl Report {
    pub fn render(&self, _: Format) -> String {
        String::new()
    }
}
pub struct Loaded {
    pub table: Option<crate::service::Table>,
    pub report: Report,
    pub embedded: bool,
}
pub fn load(m: &Main<'_>, _: &Host) -> Loaded {
    let p = match m {
        Main::Named(p) => p.to_path_buf(),
        _ => "/tmp/t.json".into(),
    };
    Loaded {
        table: serde_json::from_str(&std::fs::read_to_string(p).unwrap()).unwrap(),
        report: Report,
        embedded: false,
    }
}
