//! What the kernel makes of a file that it is to execute: elf(5), `#!` lines.
//!
//! Invariant: pure, over the first bytes; whatever they are, an answer and no panic.

/// The kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A program that needs nothing else.
    Static,
    /// A program that needs this loader.
    Dynamic(String),
    /// A script for this interpreter.
    Script(String),
    /// A program for another processor.
    Foreign(&'static str),
    /// Neither.
    Unknown,
}

/// The machines of elf(5) that one meets, by e_machine and word length in bits.
const MACHINES: [(u16, u8, &str); 10] = [
    (3, 32, "32-bit x86"),
    (62, 64, "x86-64"),
    (62, 32, "x32"),
    (40, 32, "32-bit ARM"),
    (183, 64, "AArch64"),
    (243, 64, "RISC-V"),
    (21, 64, "64-bit PowerPC"),
    (22, 64, "s390x"),
    (258, 64, "LoongArch"),
    (8, 32, "MIPS"),
];

/// Machines that this host runs.
const OURS: &[u16] = if cfg!(target_arch = "x86_64") {
    &[62, 3]
} else if cfg!(target_arch = "aarch64") {
    &[183, 40]
} else {
    // Not known here: everything may run.
    &[]
};

/// Reads the first bytes of a file.
pub(super) fn format(head: &[u8]) -> Format {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words = String::from_utf8_lossy(line);
        return match words.split([' ', '\t']).find(|word| !word.is_empty()) {
            // The blank before the end of a line from Windows is part of the name, and fails; that is shown.
            Some(interpreter) => Format::Script(interpreter.to_owned()),
            None => Format::Unknown,
        };
    }
    elf(head).unwrap_or(Format::Unknown)
}

fn elf(head: &[u8]) -> Option<Format> {
    const PROGRAM: [u16; 2] = [2, 3];
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let bits = if *head.get(4)? == 2 { 64 } else { 32 };
    let file = Elf {
        head,
        big: *head.get(5)? == 2,
    };
    let machine = file.half(18)?;
    let native_order = file.big == cfg!(target_endian = "big");
    let runs_here = OURS.is_empty() || OURS.contains(&machine) && native_order;
    if !runs_here {
        let known = MACHINES
            .iter()
            .find(|(number, length, _)| (*number, *length) == (machine, bits));
        return Some(Format::Foreign(
            known.map_or("another machine", |(.., name)| name),
        ));
    }
    if !PROGRAM.contains(&file.half(16)?) {
        return None;
    }
    let (table, size, count) = if bits == 64 {
        (file.word(32, 8)?, file.half(54)?, file.half(56)?)
    } else {
        (file.word(28, 4)?, file.half(42)?, file.half(44)?)
    };
    for index in 0..u64::from(count) {
        let Some(at) = index
            .checked_mul(size.into())
            .and_then(|skip| table.checked_add(skip))
        else {
            break;
        };
        if let Some(loader) = file.loader(usize::try_from(at).ok()?, bits) {
            return Some(Format::Dynamic(loader));
        }
    }
    Some(Format::Static)
}

struct Elf<'a> {
    head: &'a [u8],
    big: bool,
}

impl Elf<'_> {
    fn word(&self, at: usize, length: usize) -> Option<u64> {
        let bytes = self.head.get(at..at.checked_add(length)?)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.big {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        })
    }

    fn half(&self, at: usize) -> Option<u16> {
        u16::try_from(self.word(at, 2)?).ok()
    }

    /// The loader's name, when this is the program header that has it.
    fn loader(&self, at: usize, bits: u8) -> Option<String> {
        const PT_INTERP: u64 = 3;
        if self.word(at, 4)? != PT_INTERP {
            return None;
        }
        let (offset, size) = if bits == 64 {
            (
                self.word(at.checked_add(8)?, 8)?,
                self.word(at.checked_add(32)?, 8)?,
            )
        } else {
            (
                self.word(at.checked_add(4)?, 4)?,
                self.word(at.checked_add(16)?, 4)?,
            )
        };
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        let name = self.head.get(start..end)?;
        let name = name.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        for (head, expected) in [
            ("#!/bin/sh\necho", Format::Script("/bin/sh".to_owned())),
            (
                "#! \t/usr/bin/env python3\n",
                Format::Script("/usr/bin/env".to_owned()),
            ),
            ("#!/bin/sh\r\n", Format::Script("/bin/sh\r".to_owned())),
            ("#!\n/bin/sh", Format::Unknown),
            ("echo hello\n", Format::Unknown),
            ("", Format::Unknown),
        ] {
            assert_eq!(format(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn programs_name_their_loader_and_machine() {
        let mut own = std::fs::read("/proc/self/exe").unwrap();
        own.truncate(crate::config::surroundings::HEAD);
        let kind = format(&own);
        if let Format::Dynamic(loader) = &kind {
            assert!(std::path::Path::new(loader).exists(), "{loader}");
        } else {
            assert_eq!(kind, Format::Static);
        }
        if cfg!(target_arch = "x86_64") {
            let mut foreign = own.clone();
            foreign[18] = 183;
            assert_eq!(format(&foreign), Format::Foreign("AArch64"));
        }
        // Every truncation and every changed byte of the header has an answer.
        for length in 0..own.len().min(1024) {
            format(&own[..length]);
        }
        for at in 4..own.len().min(1024) {
            let mut broken = own.clone();
            broken[at] ^= 0xff;
            format(&broken);
        }
    }
}
