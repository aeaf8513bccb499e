//! What an epoll event is about, as the 64 bits that the kernel keeps for us.
//!
//! Invariant: a token of something that is gone never means something new: keys carry a generation.

use slotmap::{Key, KeyData, new_key_type};

new_key_type! {
    /// A service of the live table.
    pub struct ServiceKey;
    /// A listening socket.
    pub struct ListenerKey;
    /// A live child.
    pub struct ChildKey;
    /// A connection that lingers after its program.
    pub struct LingerKey;
    /// The stderr pipe of one connection.
    pub struct EachKey;
    /// A client of the control socket.
    pub struct ControlKey;
    /// A refused connection that is not closed yet.
    pub struct RefusedKey;
    /// A connection whose PROXY header has not come yet.
    pub struct HeaderKey;
    /// A client that is sent a cached reply.
    pub struct AnswerKey;
}

/// The subject of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Signals are pending.
    Signals,
    /// The load child has ended.
    Loading,
    /// The rehearsal of an upgrade has ended.
    Rehearsal,
    /// Connections are waiting.
    Listener(ListenerKey),
    /// A child has ended.
    Child(ChildKey),
    /// A service's programs wrote to their stderr.
    Output(ServiceKey),
    /// A client may have vanished.
    Connection(ChildKey),
    /// A worker told of ends, or takes connections again.
    Worker(ChildKey),
    /// Input of a lingering connection.
    Linger(LingerKey),
    /// A program wrote to the stderr of its connection.
    Each(EachKey),
    /// Control clients are waiting.
    Control,
    /// A refused client sent something, or is gone.
    Refused(RefusedKey),
    /// The child that reads lists has ended.
    Lists,
    /// Bytes of a PROXY header have come.
    Header(HeaderKey),
    /// A run whose reply is cached wrote.
    Reply(ChildKey),
    /// There is room for more of a cached reply.
    Answer(AnswerKey),
    /// An interface or an address has come or gone.
    Network,
    /// A control client sent something, or takes more.
    ControlClient(ControlKey),
}

/// The kind sits in the top bits of the index half of a slotmap key; an index never reaches 2^27.
const KIND_SHIFT: u32 = 27;
const KIND_MASK: u64 = 0x1f << KIND_SHIFT;

impl Token {
    /// The bits for epoll.
    pub(super) fn bits(self) -> u64 {
        let (kind, data) = match self {
            Self::Signals => (1, 0),
            Self::Loading => (2, 0),
            Self::Listener(key) => (3, key.data().as_ffi()),
            Self::Child(key) => (4, key.data().as_ffi()),
            Self::Output(key) => (5, key.data().as_ffi()),
            Self::Connection(key) => (6, key.data().as_ffi()),
            Self::Linger(key) => (7, key.data().as_ffi()),
            Self::Each(key) => (8, key.data().as_ffi()),
            Self::Control => (9, 0),
            Self::ControlClient(key) => (10, key.data().as_ffi()),
            Self::Refused(key) => (11, key.data().as_ffi()),
            Self::Lists => (12, 0),
            Self::Rehearsal => (13, 0),
            Self::Worker(key) => (14, key.data().as_ffi()),
            Self::Header(key) => (15, key.data().as_ffi()),
            Self::Reply(key) => (16, key.data().as_ffi()),
            Self::Answer(key) => (17, key.data().as_ffi()),
            Self::Network => (18, 0),
        };
        data & !KIND_MASK | kind << KIND_SHIFT
    }

    /// The subject behind the bits.
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        let key = KeyData::from_ffi(bits & !KIND_MASK);
        match (bits & KIND_MASK) >> KIND_SHIFT {
            1 => Some(Self::Signals),
            2 => Some(Self::Loading),
            3 => Some(Self::Listener(key.into())),
            4 => Some(Self::Child(key.into())),
            5 => Some(Self::Output(key.into())),
            6 => Some(Self::Connection(key.into())),
            7 => Some(Self::Linger(key.into())),
            8 => Some(Self::Each(key.into())),
            9 => Some(Self::Control),
            10 => Some(Self::ControlClient(key.into())),
            11 => Some(Self::Refused(key.into())),
            12 => Some(Self::Lists),
            13 => Some(Self::Rehearsal),
            14 => Some(Self::Worker(key.into())),
            15 => Some(Self::Header(key.into())),
            16 => Some(Self::Reply(key.into())),
            17 => Some(Self::Answer(key.into())),
            18 => Some(Self::Network),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;

    #[test]
    fn every_token_survives_its_bits() {
        let mut listeners = SlotMap::<ListenerKey, ()>::with_key();
        let mut children = SlotMap::<ChildKey, ()>::with_key();
        let mut services = SlotMap::<ServiceKey, ()>::with_key();
        let mut lingering = SlotMap::<LingerKey, ()>::with_key();
        let mut each = SlotMap::<EachKey, ()>::with_key();
        let mut clients = SlotMap::<ControlKey, ()>::with_key();
        let mut refused = SlotMap::<RefusedKey, ()>::with_key();
        let mut headers = SlotMap::<HeaderKey, ()>::with_key();
        let mut answers = SlotMap::<AnswerKey, ()>::with_key();
        for _ in 0..1000 {
            let gone = children.insert(());
            children.remove(gone);
            for token in [
                Token::Signals,
                Token::Loading,
                Token::Rehearsal,
                Token::Listener(listeners.insert(())),
                Token::Child(children.insert(())),
                Token::Output(services.insert(())),
                Token::Connection(children.insert(())),
                Token::Worker(children.insert(())),
                Token::Linger(lingering.insert(())),
                Token::Each(each.insert(())),
                Token::Control,
                Token::ControlClient(clients.insert(())),
                Token::Refused(refused.insert(())),
                Token::Lists,
                Token::Header(headers.insert(())),
                Token::Reply(children.insert(())),
                Token::Answer(answers.insert(())),
                Token::Network,
            ] {
                assert_eq!(Token::from_bits(token.bits()), Some(token));
            }
        }
    }

    #[test]
    fn foreign_bits_mean_nothing() {
        assert_eq!(Token::from_bits(0), None);
        assert_eq!(Token::from_bits(u64::MAX), None);
    }
}
