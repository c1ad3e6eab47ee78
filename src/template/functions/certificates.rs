//! Keys and certificates, made and written as Go's `crypto/x509` writes them.

use std::net::IpAddr;
use std::rc::Rc;

use jiff::{Timestamp, Zoned};
use sha2::{Digest, Sha256};

use super::super::bounds::cost;
use super::super::error::Fault;
use super::super::run::Run;
use super::super::signature::Nilable;
use super::super::value::{List, Pair, Text, Value};
use super::chains::Parsed;
use super::der;
use super::encodings::decode_base64;
use super::keys::PrivateKey;
use super::pem::Block;
use super::{Function, both};

type Texts = Nilable<List>;

/// What a certificate is to say.
struct Wanted {
    name: Text,
    addresses: Vec<IpAddr>,
    hosts: Vec<Text>,
    days: i64,
    is_authority: bool,
}

impl Wanted {
    fn new(name: Text, addresses: &Texts, hosts: &Texts, days: i64) -> Result<Self, Fault> {
        let parse = |text: &Text| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        let address = |value: &Value| match value {
            Value::Text(text) => parse(text).ok_or_else(|| Fault::from("error parsing ip")),
            _ => Fault::wrong("error parsing ip: not a string"),
        };
        let host = |value: &Value| match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Fault::wrong("error processing alternate dns name: not a string"),
        };
        let items = |texts: &Texts| texts.0.as_ref().map(|list| list.to_vec()).unwrap_or_default();
        let addresses = items(addresses).iter().map(address).collect::<Result<_, _>>()?;
        let hosts = items(hosts).iter().map(host).collect::<Result<_, _>>()?;
        Ok(Self { name, addresses, hosts, days, is_authority: false })
    }

    fn subject(&self) -> Result<Vec<u8>, Fault> {
        if self.name.is_empty() {
            return Ok(der::sequence(&[]));
        }
        let name = std::str::from_utf8(&self.name).map_err(|_| "the name is not UTF-8")?;
        let is_printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
        let tag = if name.bytes().all(is_printable) { der::tag::PRINTABLE } else { der::tag::UTF8 };
        let attribute = der::sequence(&[&der::object(&[2, 5, 4, 3]), &der::tagged(tag, name.as_bytes())]);
        Ok(der::sequence(&[&der::tagged(der::tag::SET, &attribute)]))
    }

    fn alternative_names(&self) -> Result<Vec<u8>, Fault> {
        let mut names = Vec::new();
        for host in &self.hosts {
            if !host.is_ascii() {
                return Fault::wrong("x509: a host name cannot be encoded as an IA5String");
            }
            names.push(der::tagged(0x82, host));
        }
        names.extend(self.addresses.iter().map(|address| match address.to_canonical() {
            IpAddr::V4(four) => der::tagged(0x87, &four.octets()),
            IpAddr::V6(six) => der::tagged(0x87, &six.octets()),
        }));
        Ok(der::tagged(der::tag::SEQUENCE, &names.concat()))
    }

    fn extensions(&self, public: &[u8], signer_id: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
        let extension = |last: u64, is_critical: bool, value: &[u8]| {
            let critical: &[u8] = if is_critical { &[0x01, 0x01, 0xFF] } else { &[] };
            der::sequence(&[&der::object(&[2, 5, 29, last]), critical, &der::octets(value)])
        };
        // Signatures and encryption of keys; an authority signs certificates, too. The first byte: bits that do not count.
        let usage: &[u8] = if self.is_authority { &[2, 0b1010_0100] } else { &[5, 0b1010_0000] };
        let purpose = |last| der::object(&[1, 3, 6, 1, 5, 5, 7, 3, last]);
        let authority: &[u8] = if self.is_authority { &[0x01, 0x01, 0xFF] } else { &[] };
        let mut all = vec![
            extension(15, true, &der::tagged(der::tag::BIT_STRING, usage)),
            extension(37, false, &der::sequence(&[&purpose(1), &purpose(2)])),
            extension(19, true, &der::sequence(&[authority])),
        ];
        if self.is_authority {
            all.push(extension(14, false, &der::octets(&Sha256::digest(public)[..20])));
        }
        if let Some(id) = signer_id {
            all.push(extension(35, false, &der::sequence(&[&der::tagged(0x80, id)])));
        }
        if !self.hosts.is_empty() || !self.addresses.is_empty() {
            all.push(extension(17, self.name.is_empty(), &self.alternative_names()?));
        }
        Ok(der::context(3, &der::tagged(der::tag::SEQUENCE, &all.concat())))
    }

    /// The certificate for a key, signed by itself or by an authority.
    fn sign(&self, run: &mut Run, key: &PrivateKey, authority: Option<(&Parsed, &PrivateKey)>) -> Result<Pair, Fault> {
        run.budget.spend(cost::SIGNATURE)?;
        let (public, subject) = (key.public()?, self.subject()?);
        let signer = authority.map_or(key, |(_, key)| key);
        let (issuer, signer_id) = match authority {
            None => (subject.clone(), None),
            Some((authority, authority_key)) => {
                let own = authority.certificate.tbs_certificate().subject_public_key_info();
                let is_own = x509_cert::der::Encode::to_der(own)
                    .is_ok_and(|own| authority_key.public().is_ok_and(|public| public.to_pkix() == own));
                if !is_own {
                    return Fault::wrong("x509: provided PrivateKey doesn't match parent's PublicKey");
                }
                let issuer = authority.subject()?;
                let signer_id = authority.own_id().filter(|id| !id.is_empty() && issuer != subject);
                (issuer, signer_id)
            }
        };
        let mut serial = [0; 16];
        run.chance.fill(&mut serial);
        let (algorithm, _) = signer.sign(&[])?;
        let now = run.chance.now();
        // Beyond 292 years it wraps, as Go's durations do.
        let span = self.days.wrapping_mul(24 * 60 * 60 * 1_000_000_000);
        let end = now.checked_add(jiff::SignedDuration::from_nanos(span)).map_err(|_| "the time is out of range")?;
        let content = der::sequence(&[
            &der::context(0, &der::integer(&[2])),
            &der::integer(&serial),
            &algorithm,
            &issuer,
            &der::sequence(&[&time(now), &time(end)]),
            &subject,
            &public.to_pkix(),
            &self.extensions(&public.bits(), signer_id)?,
        ]);
        let (_, signature) = signer.sign(&content)?;
        let certificate = der::sequence(&[&content, &algorithm, &der::bits(&signature)]);
        let certificate = Block::new("CERTIFICATE", &certificate).encode().into();
        Ok(Pair { certificate, key: key.to_pem()?.into() })
    }
}

fn time(at: Timestamp) -> Vec<u8> {
    let zoned: Zoned = at.to_zoned(jiff::tz::TimeZone::UTC);
    if (1950..2050).contains(&zoned.year()) {
        return der::tagged(der::tag::UTC_TIME, zoned.strftime("%y%m%d%H%M%SZ").to_string().as_bytes());
    }
    der::tagged(der::tag::GENERALIZED_TIME, zoned.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
}

fn gen_private_key(run: &mut Run, kind: Text) -> Result<Vec<u8>, Fault> {
    match &*kind {
        b"" | b"rsa" => PrivateKey::generate_rsa(run, 4096)?.to_pem(),
        b"dsa" => PrivateKey::generate_dsa(run)?.to_pem(),
        b"ecdsa" => PrivateKey::generate_elliptic(run)?.to_pem(),
        b"ed25519" => PrivateKey::generate_ed25519(run).to_pem(),
        other => Ok([b"Unknown type ", other].concat()),
    }
}

fn new_key(run: &mut Run) -> Result<PrivateKey, Fault> {
    PrivateKey::generate_rsa(run, 2048)
}

fn gen_ca(run: &mut Run, name: Text, days: i64) -> Result<Pair, Fault> {
    let key = new_key(run)?;
    authority(run, name, days, &key)
}

fn gen_ca_with_key(run: &mut Run, name: Text, days: i64, key: Text) -> Result<Pair, Fault> {
    authority(run, name, days, &PrivateKey::from_pem(&key)?)
}

fn authority(run: &mut Run, name: Text, days: i64, key: &PrivateKey) -> Result<Pair, Fault> {
    let wanted = Wanted::new(name, &Nilable(None), &Nilable(None), days)?;
    Wanted { is_authority: true, ..wanted }.sign(run, key, None)
}

fn gen_self_signed(run: &mut Run, name: Text, ips: Texts, hosts: Texts, days: i64) -> Result<Pair, Fault> {
    let key = new_key(run)?;
    Wanted::new(name, &ips, &hosts, days)?.sign(run, &key, None)
}

fn gen_self_signed_with_key(
    run: &mut Run,
    name: Text,
    ips: Texts,
    hosts: Texts,
    days: i64,
    key: Text,
) -> Result<Pair, Fault> {
    let key = PrivateKey::from_pem(&key)?;
    Wanted::new(name, &ips, &hosts, days)?.sign(run, &key, None)
}

fn gen_signed(run: &mut Run, name: Text, ips: Texts, hosts: Texts, days: i64, by: Rc<Pair>) -> Result<Pair, Fault> {
    let key = new_key(run)?;
    signed(run, &Wanted::new(name, &ips, &hosts, days)?, &by, &key)
}

fn gen_signed_with_key(
    run: &mut Run,
    name: Text,
    ips: Texts,
    hosts: Texts,
    days: i64,
    by: Rc<Pair>,
    key: Text,
) -> Result<Pair, Fault> {
    let key = PrivateKey::from_pem(&key)?;
    signed(run, &Wanted::new(name, &ips, &hosts, days)?, &by, &key)
}

fn signed(run: &mut Run, wanted: &Wanted, by: &Pair, key: &PrivateKey) -> Result<Pair, Fault> {
    let Some((block, _)) = Block::decode(&by.certificate) else {
        return Fault::wrong("unable to decode certificate");
    };
    let (authority, authority_key) = (Parsed::read(&block.bytes)?, PrivateKey::from_pem(&by.key)?);
    wanted.sign(run, key, Some((&authority, &authority_key)))
}

fn build_custom_cert(certificate: Text, key: Text) -> Result<Pair, Fault> {
    let certificate = decode_base64(&certificate).map_err(|_| "unable to decode base64 certificate")?;
    let key = decode_base64(&key).map_err(|_| "unable to decode base64 private key")?;
    let Some((block, _)) = Block::decode(&certificate) else { return Fault::wrong("unable to decode certificate") };
    Parsed::read(&block.bytes)?;
    PrivateKey::from_pem(&key)?;
    Ok(Pair { certificate: certificate.into(), key: key.into() })
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("buildCustomCert", build_custom_cert, "A certificate and its key, both in base64, to sign others with."),
        both("genCA", gen_ca, "A certificate authority with a new RSA key: name, days."),
        both("genCAWithKey", gen_ca_with_key, "The same with a given key."),
        both("genPrivateKey", gen_private_key, "A private key: `rsa` (4096 bits), `dsa`, `ecdsa` or `ed25519`."),
        both("genSelfSignedCert", gen_self_signed, "A certificate that signs itself: name, addresses, hosts, days."),
        both("genSelfSignedCertWithKey", gen_self_signed_with_key, "The same with a given key."),
        both("genSignedCert", gen_signed, "A certificate that an authority signs."),
        both("genSignedCertWithKey", gen_signed_with_key, "The same with a given key."),
    ]
}
