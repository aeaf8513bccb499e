//! The PROXY header: the one place where the daemon itself understands bytes of the network.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxinetd::connection::proxy::{Header, LONGEST, read, write};
use oxinetd::service::{HeaderVersion, ProxyVersion};

fuzz_target!(|bytes: &[u8]| {
    for version in [ProxyVersion::V1, ProxyVersion::V2, ProxyVersion::Any] {
        match read(bytes, version) {
            Header::Partial => assert!(bytes.len() < LONGEST),
            Header::Invalid(_) => {}
            Header::Whole { length, ends } => {
                let (header, rest) = bytes.split_at(length);
                // What follows does not matter, and less is not enough.
                assert_eq!(read(header, version), Header::Whole { length, ends });
                let less = &header[..length.saturating_sub(1)];
                assert_eq!(read(less, version), Header::Partial, "{} behind", rest.len());
                for written in [HeaderVersion::V1, HeaderVersion::V2] {
                    let header = write(written, ends);
                    let Header::Whole { ends: back, .. } = read(&header, ProxyVersion::Any) else {
                        panic!("{header:?}");
                    };
                    let one_family = |(a, b): &(std::net::SocketAddr, std::net::SocketAddr)| {
                        a.is_ipv4() == b.is_ipv4()
                    };
                    assert_eq!(back, ends.filter(one_family));
                }
            }
        }
    }
});
