//! Addresses, taken apart and put together as Go's `net/url` does it.

use super::super::error::Fault;
use super::super::run::Run;
use super::super::signature::Nilable;
use super::super::unicode::lossy;
use super::super::value::{Dict, Entries, Text, Value};
use super::{Function, both};

/// The part of an address that is escaped: each has characters of its own that stay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Path,
    User,
    Host,
    QueryComponent,
    Fragment,
}

fn must_escape(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return false;
    }
    if part == Part::Host && b"!$&'()*+,;=:[]<>\"".contains(&byte) {
        return false;
    }
    if b"$&+,/:;=?@".contains(&byte) {
        return match part {
            Part::Path => byte == b'?',
            Part::User => b"@/?:".contains(&byte),
            Part::QueryComponent => true,
            Part::Fragment => false,
            Part::Host => true,
        };
    }
    !(part == Part::Fragment && b"!()*".contains(&byte))
}

/// What is not allowed in a part, as `%XX`; a space of a query as `+`.
pub(super) fn escape(text: &[u8], part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' if part == Part::QueryComponent => out.push('+'),
            byte if must_escape(*byte, part) => out += &format!("%{byte:02X}"),
            byte => out.push(char::from(*byte)),
        }
    }
    out
}

fn unescape(text: &[u8], part: Part) -> Result<Vec<u8>, &'static str> {
    const INVALID: &str = "invalid URL escape";
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(INVALID);
            let decoded = u8::try_from(digit()? * 16 + digit()?).map_err(|_| INVALID)?;
            // In a host only what is no ASCII may be escaped, and `%` itself for zones.
            if part == Part::Host && decoded < 0x80 && decoded != b'%' {
                return Err(INVALID);
            }
            out.push(decoded);
        } else {
            if part == Part::Host && byte < 0x80 && must_escape(byte, part) {
                return Err("invalid character in host name");
            }
            out.push(byte);
        }
    }
    Ok(out)
}

#[derive(Default)]
struct Url {
    scheme: String,
    opaque: Vec<u8>,
    user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    forces_query: bool,
    fragment: Vec<u8>,
}

fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

impl Url {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let (rest, fragment) = cut(text, b'#');
        if rest.iter().any(|byte| *byte < b' ' || *byte == 0x7F) {
            return Err("invalid control character in URL");
        }
        let fragment = unescape(fragment.unwrap_or_default(), Part::Fragment)?;
        let mut url = Self { fragment, ..Self::default() };
        if rest == b"*" {
            url.path = rest.to_vec();
            return Ok(url);
        }
        let rest = url.take_scheme(rest)?;
        let marks = rest.iter().filter(|byte| **byte == b'?').count();
        let rest = if rest.ends_with(b"?") && marks == 1 {
            url.forces_query = true;
            &rest[..rest.len() - 1]
        } else {
            let (rest, query) = cut(rest, b'?');
            url.query = query.unwrap_or_default().to_vec();
            rest
        };
        if !rest.starts_with(b"/") {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_vec();
                return Ok(url);
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err("first path segment in URL cannot contain colon");
            }
        }
        let mut path = rest;
        if (!url.scheme.is_empty() || !rest.starts_with(b"///")) && rest.starts_with(b"//") {
            let authority = &rest[2..];
            let end = authority.iter().position(|byte| *byte == b'/').unwrap_or(authority.len());
            path = &authority[end..];
            url.take_authority(&authority[..end])?;
        }
        url.path = unescape(path, Part::Path)?;
        Ok(url)
    }

    fn take_scheme<'t>(&mut self, text: &'t [u8]) -> Result<&'t [u8], &'static str> {
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' => {}
                b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
                b':' if at == 0 => return Err("missing protocol scheme"),
                b':' => {
                    self.scheme = lossy(&text[..at]).to_ascii_lowercase();
                    return Ok(&text[at + 1..]);
                }
                _ => return Ok(text),
            }
        }
        Ok(text)
    }

    fn take_authority(&mut self, authority: &[u8]) -> Result<(), &'static str> {
        let (user, host) = match authority.iter().rposition(|byte| *byte == b'@') {
            Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
            None => (None, authority),
        };
        check_host(host)?;
        self.host = unescape(host, Part::Host)?;
        let Some(user) = user else { return Ok(()) };
        let is_valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
        if !user.iter().all(is_valid) {
            return Err("invalid userinfo");
        }
        let (name, password) = cut(user, b':');
        let password = password.map(|password| unescape(password, Part::User)).transpose()?;
        self.user = Some((unescape(name, Part::User)?, password));
        Ok(())
    }

    fn user_text(&self) -> String {
        match &self.user {
            Some((name, Some(password))) => format!("{}:{}", escape(name, Part::User), escape(password, Part::User)),
            Some((name, None)) => escape(name, Part::User),
            None => String::new(),
        }
    }

    fn host_name(&self) -> &[u8] {
        let without_port = match self.host.iter().rposition(|byte| *byte == b':') {
            Some(at) if is_port(&self.host[at..]) => &self.host[..at],
            _ => &self.host,
        };
        without_port.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(without_port)
    }

    fn text(&self) -> Vec<u8> {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out += &self.scheme;
            out.push(':');
        }
        let mut out = out.into_bytes();
        if self.opaque.is_empty() {
            if !self.scheme.is_empty() || !self.host.is_empty() || self.user.is_some() {
                if !self.host.is_empty() || !self.path.is_empty() || self.user.is_some() {
                    out.extend_from_slice(b"//");
                }
                if self.user.is_some() {
                    out.extend_from_slice(self.user_text().as_bytes());
                    out.push(b'@');
                }
                out.extend_from_slice(escape(&self.host, Part::Host).as_bytes());
            }
            let path = if self.path == b"*" { "*".to_owned() } else { escape(&self.path, Part::Path) };
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                out.push(b'/');
            }
            if out.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
                out.extend_from_slice(b"./");
            }
            out.extend_from_slice(path.as_bytes());
        } else {
            out.extend_from_slice(&self.opaque);
        }
        if self.forces_query || !self.query.is_empty() {
            out.push(b'?');
            out.extend_from_slice(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push(b'#');
            out.extend_from_slice(escape(&self.fragment, Part::Fragment).as_bytes());
        }
        out
    }
}

fn is_port(text: &[u8]) -> bool {
    text.is_empty() || text[0] == b':' && text[1..].iter().all(u8::is_ascii_digit)
}

fn check_host(host: &[u8]) -> Result<(), &'static str> {
    let port = if host.contains(&b'[') {
        let close = host.iter().rposition(|byte| *byte == b']').ok_or("missing ']' in host")?;
        if host[0] != b'[' {
            return Err("invalid character in host name");
        }
        &host[close + 1..]
    } else {
        match host.iter().rposition(|byte| *byte == b':') {
            Some(at) => &host[at..],
            None => return Ok(()),
        }
    };
    if is_port(port) { Ok(()) } else { Err("invalid port after host") }
}

/// An address read and written again.
pub(super) fn again(text: &[u8]) -> Result<Text, Fault> {
    Ok(Url::parse(text)?.text().into())
}

fn url_parse(run: &mut Run, text: Text) -> Result<Dict, Fault> {
    run.budget.spend(text.len().saturating_mul(4))?;
    let url = Url::parse(&text).map_err(|problem| Fault::from(format!("unable to parse url: {problem}")))?;
    let entries: Entries = [
        ("scheme", url.scheme.as_bytes()),
        ("host", &url.host),
        ("hostname", url.host_name()),
        ("path", &url.path),
        ("query", &url.query),
        ("opaque", &url.opaque),
        ("fragment", &url.fragment),
        ("userinfo", url.user_text().as_bytes()),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), Value::text(value)))
    .collect();
    run.dict(entries)
}

fn url_join(run: &mut Run, parts: Nilable<Dict>) -> Result<Vec<u8>, Fault> {
    let mut part = |name: &str| match parts.0.as_ref().and_then(|parts| parts.get(name.as_bytes())) {
        Some(Value::Text(text)) => {
            run.budget.spend(text.len().saturating_mul(3))?;
            Ok(text.to_vec())
        }
        None => Ok(Vec::new()),
        Some(other) => {
            Fault::wrong(format!("unable to parse {name} key, must be of type string, but {} found", other.kind()))
        }
    };
    let mut url = Url {
        scheme: lossy(&part("scheme")?),
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        opaque: part("opaque")?,
        fragment: part("fragment")?,
        ..Url::default()
    };
    let user = part("userinfo")?;
    if !user.is_empty() {
        let with_user = Url::parse(&[b"proto://", &user[..], b"@host"].concat());
        url.user =
            with_user.map_err(|problem| Fault::from(format!("unable to parse userinfo in dict: {problem}")))?.user;
    }
    Ok(url.text())
}

pub(super) fn table() -> Vec<Function> {
    vec![
        both("urlJoin", url_join, "An address from a dict such as `urlParse` gives."),
        both(
            "urlParse",
            url_parse,
            "An address as a dict: scheme, userinfo, host, hostname, path, query, opaque, fragment.",
        ),
    ]
}
