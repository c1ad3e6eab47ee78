//! Certificates, read: chains put in order, and the names that a certificate is for.
//!
//! Nothing is verified here: an order that comes out says nothing about trust.

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_cert::Certificate;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectAltName, SubjectKeyIdentifier};

use super::super::error::Fault;
use super::super::run::Run;
use super::super::value::Text;
use super::pem::{Block, without_junk};
use super::{Function, external};

/// A certificate, with the bytes that it was read from.
pub(super) struct Parsed {
    pub(super) raw: Vec<u8>,
    pub(super) certificate: Certificate,
    own_id: Option<Vec<u8>>,
    signer_id: Option<Vec<u8>>,
}

impl Parsed {
    /// Reads one certificate and nothing behind it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let certificate = Certificate::from_der(bytes).map_err(|_| Fault::from("x509: malformed certificate"))?;
        let own_id = extension::<SubjectKeyIdentifier>(&certificate)?.map(|id| id.0.into_bytes().into());
        let signer_id = extension::<AuthorityKeyIdentifier>(&certificate)?;
        let signer_id = signer_id.and_then(|id| id.key_identifier).map(|id| id.into_bytes().into());
        Ok(Self { raw: bytes.to_vec(), certificate, own_id, signer_id })
    }

    /// All certificates of a text, which may hold nothing else.
    fn read_all(text: &[u8]) -> Result<Vec<Self>, Fault> {
        let mut rest = text;
        let mut all = Vec::new();
        while let Some((block, after)) = Block::decode(rest) {
            all.push(Self::read(&block.bytes)?);
            rest = after;
        }
        Ok(all)
    }

    pub(super) fn to_pem(&self) -> Vec<u8> {
        Block::new("CERTIFICATE", &self.raw).encode()
    }

    /// The id of its key.
    pub(super) fn own_id(&self) -> Option<&[u8]> {
        self.own_id.as_deref()
    }

    /// Its subject as it stands in the certificate.
    pub(super) fn subject(&self) -> Result<Vec<u8>, Fault> {
        self.certificate.tbs_certificate().subject().to_der().map_err(|_| "x509: malformed subject".into())
    }

    fn is_root(&self) -> bool {
        self.signer_id.is_none() || self.signer_id == self.own_id
    }
}

fn extension<E: AssociatedOid + for<'a> Decode<'a>>(certificate: &Certificate) -> Result<Option<E>, Fault> {
    let found = certificate.tbs_certificate().get_extension::<E>();
    found.map(|found| found.map(|(_, value)| value)).map_err(|_| "x509: malformed extension".into())
}

/// From the leaf to the root, by the ids of their keys.
fn ordered(run: &mut Run, text: &[u8]) -> Result<Vec<Parsed>, Fault> {
    run.budget.spend(text.len().saturating_mul(4))?;
    let all = Parsed::read_all(text)?;
    run.budget.spend(all.len().saturating_mul(all.len()))?;
    // Who signed each: the first other one with that id. No id equals no id.
    let signer =
        |index: usize| (0..all.len()).find(|other| *other != index && all[index].signer_id == all[*other].own_id);
    let signers: Vec<_> = (0..all.len()).map(signer).collect();
    let mut leaves = (0..all.len()).filter(|index| !signers.contains(&Some(*index)));
    let leaf = leaves.next();
    if leaves.next().is_some() {
        return Fault::wrong("found multiple leaf or disjunct certificates");
    }
    let Some(leaf) = leaf else { return Fault::wrong("no leaf certificate found") };
    let chain: Vec<_> = std::iter::successors(Some(leaf), |index| signers[*index]).take(all.len() + 1).collect();
    if chain.len() > all.len() {
        return Fault::wrong("constructing chain resulted in cycle");
    }
    let mut all: Vec<_> = all.into_iter().map(Some).collect();
    Ok(chain.into_iter().filter_map(|index| all[index].take()).collect())
}

/// The certificates of a text from the leaf to the root, or as they stand if they are no chain.
pub(super) fn in_order(run: &mut Run, text: Vec<u8>) -> Result<Vec<u8>, Fault> {
    match ordered(run, &text) {
        Ok(chain) => Ok(chain.iter().flat_map(Parsed::to_pem).collect()),
        Err(Fault::Wrong(_)) => Ok(text),
        Err(fault) => Err(fault),
    }
}

fn filter_cert_chain(run: &mut Run, role: Text, text: Text) -> Result<Vec<u8>, Fault> {
    let chain = ordered(run, &text)?;
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else { return Ok(Vec::new()) };
    Ok(match &*role {
        b"leaf" if !first.is_root() => first.to_pem(),
        b"intermediate" => chain[1..].iter().take_while(|one| !one.is_root()).flat_map(Parsed::to_pem).collect(),
        b"root" if last.is_root() => last.to_pem(),
        _ => Vec::new(),
    })
}

fn cert_sans(run: &mut Run, text: Text) -> Result<Vec<Text>, Fault> {
    run.budget.spend(text.len().saturating_mul(4))?;
    let Some((block, _)) = Block::decode(without_junk(&text)) else {
        return Fault::wrong("failed to decode PEM block");
    };
    let parsed = Parsed::read(&block.bytes)?;
    let names = extension::<SubjectAltName>(&parsed.certificate)?.map(|names| names.0).unwrap_or_default();
    let (mut hosts, mut addresses, mut mails, mut uris) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in &names {
        match name {
            GeneralName::DnsName(name) => hosts.push(name.as_str().into()),
            GeneralName::IpAddress(bytes) => addresses.push(address(bytes.as_bytes())?),
            GeneralName::Rfc822Name(name) => mails.push(name.as_str().into()),
            GeneralName::UniformResourceIdentifier(name) => uris.push(super::urls::again(name.as_str().as_bytes())?),
            _ => {}
        }
    }
    Ok([hosts, addresses, mails, uris].concat())
}

fn address(bytes: &[u8]) -> Result<Text, Fault> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(four).to_string().into());
    }
    match <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from) {
        Ok(sixteen) => Ok(sixteen.to_ipv4_mapped().map_or_else(|| sixteen.to_string(), |four| four.to_string()).into()),
        Err(_) => Fault::wrong("x509: cannot parse IP address"),
    }
}

pub(super) fn table() -> Vec<Function> {
    vec![
        external("certSANs", cert_sans, "The names that a certificate is for: hosts, addresses, mail addresses, URIs."),
        external("filterCertChain", filter_cert_chain, "The `leaf`, `intermediate` or `root` certificates of a chain."),
    ]
}
