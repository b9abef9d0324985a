//! A name server of the test's own.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// What it says of a name.
#[derive(Clone)]
pub(crate) enum Says {
    Addresses(Vec<IpAddr>),
    /// The same, and over UDP that they do not fit.
    OverTcp(Vec<IpAddr>),
    Failure,
}

/// The names that exist, in lower case. Whoever holds it may change them at any time.
pub(crate) type Zone = Arc<Mutex<HashMap<String, Says>>>;

/// Answers at port 53 of `address`, in the namespace of the calling thread, for as long as
/// the test runs.
pub(crate) fn serve(address: Ipv4Addr, zone: &Zone) {
    let udp = UdpSocket::bind((address, 53)).expect("bound");
    let tcp = TcpListener::bind((address, 53)).expect("bound");
    let names = Arc::clone(zone);
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok((length, asker)) = udp.recv_from(&mut buffer) {
            let reply = reply(&buffer[..length], &names, true);
            udp.send_to(&reply, asker).expect("sent");
        }
    });
    let names = Arc::clone(zone);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("a length");
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query).expect("a question");
            let reply = reply(&query, &names, false);
            let length = u16::try_from(reply.len()).expect("a length").to_be_bytes();
            stream
                .write_all(&[&length[..], &reply].concat())
                .expect("sent");
        }
    });
}

fn reply(query: &[u8], zone: &Zone, is_udp: bool) -> Vec<u8> {
    let mut packet = Packet::parse(query).expect("a query").into_reply();
    let question = packet.questions[0].clone();
    let name = question.qname.to_string().to_ascii_lowercase();
    let says = zone.lock().expect("the zone").get(&name).cloned();
    let addresses = match says {
        None => {
            *packet.rcode_mut() = RCODE::NameError;
            Vec::new()
        }
        Some(Says::Failure) => {
            *packet.rcode_mut() = RCODE::ServerFailure;
            Vec::new()
        }
        Some(Says::OverTcp(_)) if is_udp => {
            packet.set_flags(PacketFlag::TRUNCATION);
            Vec::new()
        }
        Some(Says::Addresses(addresses) | Says::OverTcp(addresses)) => addresses,
    };
    for address in addresses {
        let data = match address {
            IpAddr::V4(address) if question.qtype == QTYPE::TYPE(TYPE::A) => a(address),
            IpAddr::V6(address) if question.qtype == QTYPE::TYPE(TYPE::AAAA) => aaaa(address),
            _ => continue,
        };
        let record = ResourceRecord::new(question.qname.clone(), CLASS::IN, 60, data);
        packet.answers.push(record);
    }
    packet.build_bytes_vec_compressed().expect("a message")
}

fn a(address: Ipv4Addr) -> RData<'static> {
    RData::A(address.into())
}

fn aaaa(address: Ipv6Addr) -> RData<'static> {
    RData::AAAA(address.into())
}
