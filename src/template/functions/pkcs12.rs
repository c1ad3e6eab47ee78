//! PKCS#12 files: read as External Secrets reads them, written as it writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::super::error::Fault;
use super::super::run::Run;
use super::super::value::Text;
use super::chains::{self, Parsed};
use super::der::{self, Reader, tag};
use super::keys::PrivateKey;
use super::pbe::{self, Password};
use super::pem::Block;
use super::{Function, external};

const DATA: [u64; 7] = [1, 2, 840, 113_549, 1, 7, 1];
const ENCRYPTED_DATA: [u64; 7] = [1, 2, 840, 113_549, 1, 7, 6];
const KEY_BAG: [u64; 9] = [1, 2, 840, 113_549, 1, 12, 10, 1, 1];
const SHROUDED_KEY_BAG: [u64; 9] = [1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERTIFICATE_BAG: [u64; 9] = [1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509: [u64; 8] = [1, 2, 840, 113_549, 1, 9, 22, 1];
const FRIENDLY_NAME: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 20];
const LOCAL_KEY_ID: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 21];
/// By this, Java knows a trust store; for every use.
const JAVA_TRUST: [u64; 8] = [2, 16, 840, 1, 113_894, 746_875, 1, 1];
const ANY_USE: [u64; 5] = [2, 5, 29, 37, 0];

/// What is in a file.
struct Content {
    key: PrivateKey,
    /// The leaf first.
    certificates: Vec<Parsed>,
}

fn read(run: &mut Run, password: &[u8], file: &[u8]) -> Result<Content, Fault> {
    run.budget.spend(file.len().saturating_mul(4))?;
    let mut password = Password::new(password)?;
    let mut pfx = Reader::whole(file)?.sequence()?;
    if pfx.small()? != 3 {
        return Fault::wrong("can only decode v3 PFX PDU's");
    }
    let mut safe = pfx.sequence()?;
    if safe.object()? != DATA {
        return Fault::wrong("only password-protected PFX is implemented");
    }
    let content = Reader::new(safe.expect(tag::CONTEXT)?).expect(tag::OCTET_STRING)?;
    if pfx.is_empty() {
        if !password.is_empty() {
            return Fault::wrong("no MAC in data");
        }
    } else {
        let mac = pfx.sequence()?;
        // Some programs take an empty password for no bytes at all.
        if !pbe::verify(run, mac, content, &password)? {
            let is_other = password.is_empty() && pbe::verify(run, mac, content, &password.none())?;
            if !is_other {
                return Fault::wrong("decryption password incorrect");
            }
            password = password.none();
        }
    }
    let (mut key, mut certificates) = (None, Vec::new());
    let mut safes = Reader::whole(content)?.sequence()?;
    let mut count = 0;
    while !safes.is_empty() {
        count += 1;
        if count > 2 {
            return Fault::wrong("expected between 1 and 2 items in the authenticated safe");
        }
        let opened = open_safe(run, safes.sequence()?, &password)?;
        let mut bags = Reader::whole(&opened)?.sequence()?;
        while !bags.is_empty() {
            read_bag(run, bags.sequence()?, &password, &mut key, &mut certificates)?;
        }
    }
    match key {
        _ if certificates.is_empty() => Fault::wrong("certificate missing"),
        None => Fault::wrong("private key missing"),
        Some(key) => Ok(Content { key, certificates }),
    }
}

fn open_safe(run: &mut Run, mut safe: Reader<'_>, password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let kind = safe.object()?;
    let mut content = Reader::new(safe.expect(tag::CONTEXT)?);
    if kind == DATA {
        return Ok(Zeroizing::new(content.expect(tag::OCTET_STRING)?.to_vec()));
    }
    if kind != ENCRYPTED_DATA {
        return Fault::wrong("only data and encryptedData content types are supported in authenticated safe");
    }
    let mut data = content.sequence()?;
    if data.small()? != 0 {
        return Fault::wrong("only version 0 of EncryptedData is supported");
    }
    let mut info = data.sequence()?;
    info.object()?;
    let algorithm = info.sequence()?;
    let encrypted = info.expect(tag::CONTEXT_BYTES)?;
    pbe::decrypt(run, algorithm, encrypted, password)
}

fn read_bag(
    run: &mut Run,
    mut bag: Reader<'_>,
    password: &Password,
    key: &mut Option<PrivateKey>,
    certificates: &mut Vec<Parsed>,
) -> Result<(), Fault> {
    let kind = bag.object()?;
    let content = bag.expect(tag::CONTEXT)?;
    let read_key =
        |bytes: &[u8]| PrivateKey::from_pkcs8(bytes).ok_or_else(|| Fault::from("the private key cannot be read"));
    let found = if kind == CERTIFICATE_BAG {
        let mut inner = Reader::whole(content)?.sequence()?;
        if inner.object()? != X509 {
            return Fault::wrong("only X509 certificates are supported in cert bags");
        }
        let certificate = Reader::new(inner.expect(tag::CONTEXT)?).expect(tag::OCTET_STRING)?;
        certificates.push(Parsed::read(certificate)?);
        return Ok(());
    } else if kind == KEY_BAG {
        read_key(content)?
    } else if kind == SHROUDED_KEY_BAG {
        let mut info = Reader::whole(content)?.sequence()?;
        let algorithm = info.sequence()?;
        read_key(&pbe::decrypt(run, algorithm, info.expect(tag::OCTET_STRING)?, password)?)?
    } else {
        return Ok(());
    };
    match key.replace(found) {
        None => Ok(()),
        Some(_) => Fault::wrong("expected exactly one key bag"),
    }
}

fn pkcs12_key(run: &mut Run, file: Text) -> Result<Vec<u8>, Fault> {
    pkcs12_key_pass(run, Text::default(), file)
}

fn pkcs12_key_pass(run: &mut Run, password: Text, file: Text) -> Result<Vec<u8>, Fault> {
    Ok(Block::new("PRIVATE KEY", &read(run, &password, &file)?.key.to_pkcs8()?).encode())
}

fn pkcs12_cert(run: &mut Run, file: Text) -> Result<Vec<u8>, Fault> {
    pkcs12_cert_pass(run, Text::default(), file)
}

fn pkcs12_cert_pass(run: &mut Run, password: Text, file: Text) -> Result<Vec<u8>, Fault> {
    let content = read(run, &password, &file)?;
    let texts = content.certificates.iter().flat_map(Parsed::to_pem).collect();
    chains::in_order(run, texts)
}

fn attribute(kind: &[u64], value: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::object(kind), &der::tagged(tag::SET, value)])
}

fn bag(kind: &[u64], content: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = if attributes.is_empty() { Vec::new() } else { der::tagged(tag::SET, &attributes.concat()) };
    der::sequence(&[&der::object(kind), &der::context(0, content), &attributes])
}

fn certificate_bag(certificate: &Parsed, attributes: &[Vec<u8>]) -> Vec<u8> {
    let content = der::sequence(&[&der::object(&X509), &der::context(0, &der::octets(&certificate.raw))]);
    bag(&CERTIFICATE_BAG, &content, attributes)
}

fn encrypted_safe(run: &mut Run, bags: &[Vec<u8>], password: &Password) -> Result<Vec<u8>, Fault> {
    let content = der::tagged(tag::SEQUENCE, &bags.concat());
    let (algorithm, encrypted) = pbe::encrypt(run, &content, password)?;
    let encrypted = der::tagged(tag::CONTEXT_BYTES, &encrypted);
    let info = der::sequence(&[&der::object(&DATA), &algorithm, &encrypted]);
    let data = der::sequence(&[&der::integer(&[0]), &info]);
    Ok(der::sequence(&[&der::object(&ENCRYPTED_DATA), &der::context(0, &data)]))
}

fn plain_safe(content: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::object(&DATA), &der::context(0, &der::octets(content))])
}

/// The file around its safes, in base64.
fn file(run: &mut Run, safes: &[Vec<u8>], password: &Password) -> Result<String, Fault> {
    let content = der::tagged(tag::SEQUENCE, &safes.concat());
    let mac = pbe::mac(run, &content, password)?;
    Ok(STANDARD.encode(der::sequence(&[&der::integer(&[3]), &plain_safe(&content), &mac])))
}

/// Certificates one after the other, and nothing else.
fn certificates(mut text: &[u8]) -> Result<Vec<Parsed>, Fault> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let (certificate, rest) = first_certificate(text)?;
        all.push(certificate);
        text = rest;
    }
    Ok(all)
}

fn first_certificate(text: &[u8]) -> Result<(Parsed, &[u8]), Fault> {
    let (block, rest) = Block::decode(text).ok_or_else(|| Fault::from("a PEM certificate is missing"))?;
    Ok((Parsed::read(&block.bytes)?, rest))
}

fn with_key(run: &mut Run, leaf: &Parsed, others: &[Parsed], key: &[u8], password: &[u8]) -> Result<String, Fault> {
    let (block, _) = Block::decode(key).ok_or_else(|| Fault::from("a PEM private key is missing"))?;
    let key = PrivateKey::from_any(&block.bytes).ok_or_else(|| Fault::from("unable to parse private key type"))?;
    let password = Password::new(password)?;
    let id = [attribute(&LOCAL_KEY_ID, &der::octets(&Sha1::digest(&leaf.raw)))];
    let mut bags = vec![certificate_bag(leaf, &id)];
    bags.extend(others.iter().map(|other| certificate_bag(other, &[])));
    let (algorithm, encrypted) = pbe::encrypt(run, &key.to_pkcs8()?, &password)?;
    let key_bag = bag(&SHROUDED_KEY_BAG, &der::sequence(&[&algorithm, &der::octets(&encrypted)]), &id);
    let safes = [encrypted_safe(run, &bags, &password)?, plain_safe(&der::sequence(&[&key_bag]))];
    file(run, &safes, &password)
}

fn pem_to_pkcs12(run: &mut Run, certificate: Text, key: Text) -> Result<String, Fault> {
    pem_to_pkcs12_pass(run, certificate, key, Text::default())
}

fn pem_to_pkcs12_pass(run: &mut Run, certificate: Text, key: Text, password: Text) -> Result<String, Fault> {
    let (leaf, _) = first_certificate(&certificate)?;
    with_key(run, &leaf, &[], &key, &password)
}

fn full_pem_to_pkcs12(run: &mut Run, chain: Text, key: Text) -> Result<String, Fault> {
    full_pem_to_pkcs12_pass(run, chain, key, Text::default())
}

fn full_pem_to_pkcs12_pass(run: &mut Run, chain: Text, key: Text, password: Text) -> Result<String, Fault> {
    run.budget.spend(chain.len().saturating_mul(4))?;
    let (leaf, rest) = first_certificate(&chain)?;
    with_key(run, &leaf, &certificates(rest)?, &key, &password)
}

fn pem_truststore(run: &mut Run, trusted: Text) -> Result<String, Fault> {
    pem_truststore_pass(run, trusted, Text::default())
}

fn pem_truststore_pass(run: &mut Run, trusted: Text, password: Text) -> Result<String, Fault> {
    run.budget.spend(trusted.len().saturating_mul(4))?;
    let password = Password::new(&password)?;
    let named = |certificate: &Parsed| {
        let name = certificate.certificate.tbs_certificate().subject().to_string();
        let name = der::tagged(tag::BMP, &pbe::bmp(name.as_bytes())?);
        let trust = attribute(&JAVA_TRUST, &der::object(&ANY_USE));
        Ok::<_, Fault>(certificate_bag(certificate, &[trust, attribute(&FRIENDLY_NAME, &name)]))
    };
    let bags = certificates(&trusted)?.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    let safe = encrypted_safe(run, &bags, &password)?;
    file(run, &[safe], &password)
}

pub(super) fn table() -> Vec<Function> {
    vec![
        external(
            "fullPemToPkcs12",
            full_pem_to_pkcs12,
            "A PKCS#12 file of a certificate, those behind it and a key, in base64.",
        ),
        external("fullPemToPkcs12Pass", full_pem_to_pkcs12_pass, "The same under a password, the last argument."),
        external("pemToPkcs12", pem_to_pkcs12, "A PKCS#12 file of a certificate and its key, in base64."),
        external("pemToPkcs12Pass", pem_to_pkcs12_pass, "The same under a password, the last argument."),
        external("pemTruststoreToPKCS12", pem_truststore, "A PKCS#12 trust store of certificates, in base64."),
        external("pemTruststoreToPKCS12Pass", pem_truststore_pass, "The same under a password, the last argument."),
        external("pkcs12cert", pkcs12_cert, "The certificates of a PKCS#12 file as PEM, the leaf first."),
        external("pkcs12certPass", pkcs12_cert_pass, "The same under a password, the first argument."),
        external("pkcs12key", pkcs12_key, "The private key of a PKCS#12 file, as PEM of PKCS#8."),
        external("pkcs12keyPass", pkcs12_key_pass, "The same under a password, the first argument."),
    ]
}
