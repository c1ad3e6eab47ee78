//! Signed calls of services whose SDK would be larger than all the rest of this program: JSON in, JSON out.

use std::time::SystemTime;

use ::http::Request;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Identity, refused};
use crate::providers::{Error, http as guarded};

/// Who is asked, and as whom.
pub(in crate::providers) struct Caller {
    pub(in crate::providers) identity: Identity,
    pub(in crate::providers) http: reqwest::Client,
    /// `ssm`, `ecr`, …: in the signature and in the address.
    pub(in crate::providers) service: &'static str,
    pub(in crate::providers) url: String,
    /// In front of the name of each operation.
    pub(in crate::providers) target: &'static str,
}

impl Caller {
    pub(in crate::providers) fn new(
        identity: Identity,
        service: &'static str,
        target: &'static str,
        endpoint: Option<&str>,
    ) -> Result<Self, Error> {
        let region = identity.region();
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let host = match service {
            "ecr" => "api.ecr",
            "ecr-public" => "api.ecr-public",
            other => other,
        };
        let is_name = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name {
            return Err(Error::Configuration(format!("{region:?} is no region of AWS")));
        }
        let url = endpoint.map_or_else(|| format!("https://{host}.{region}.{suffix}/"), ToOwned::to_owned);
        Ok(Self { http: guarded::build(guarded::unguarded(None)?)?, identity, service, url, target })
    }

    /// One call. `key` is what people know it by.
    pub(in crate::providers) async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        body: &Value,
        key: &str,
    ) -> Result<T, Error> {
        let credentials = self.identity.credentials().await?;
        let body = body.to_string();
        let headers = [
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("{}.{operation}", self.target)),
        ];
        let scope = (self.identity.region(), self.service);
        let request = signed(&credentials, scope, &self.url, &headers, body, SystemTime::now())?;
        let request = reqwest::Request::try_from(request)
            .map_err(|_| Error::Configuration(format!("{:?} is no address of a service", self.url)))?;
        let answer = self.http.execute(request).await.map_err(|error| guarded::unreachable(&self.url, &error))?;
        let status = answer.status();
        let body = guarded::body(answer, &self.url, key).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|_| Error::Malformed { key: key.to_owned(), why: "it is not what AWS's API defines" });
        }
        #[derive(Default, Deserialize)]
        struct Refusal {
            #[serde(rename = "__type", default)]
            kind: String,
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        // `com.amazonaws.ssm#ParameterNotFound` and `ParameterNotFound` are the same.
        let code = refusal.kind.rsplit('#').next().unwrap_or_default();
        Err(refused(code, status.as_u16(), key, self.identity.role()))
    }
}

/// A request with its signature, for a region and service.
fn signed(
    credentials: &Credentials,
    (region, service): (&str, &str),
    url: &str,
    headers: &[(&str, String)],
    body: String,
    time: SystemTime,
) -> Result<Request<String>, Error> {
    let wrong = || Error::Configuration("the request cannot be signed".to_owned());
    let identity = credentials.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| wrong())?
        .into();
    let lines = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let signable =
        SignableRequest::new("POST", url, lines, SignableBody::Bytes(body.as_bytes())).map_err(|_| wrong())?;
    let (instructions, _) = sign(signable, &params).map_err(|_| wrong())?.into_parts();
    let mut request = Request::builder().method("POST").uri(url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut request = request.body(body).map_err(|_| wrong())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// A signed question "who am I", which somebody else may ask AWS in our name: how Vault learns who we are.
pub(in crate::providers) struct SignedIdentity {
    /// Base64, as the two others.
    pub(in crate::providers) url: String,
    /// A JSON object of lists.
    pub(in crate::providers) headers: String,
    /// The question.
    pub(in crate::providers) body: String,
}

/// Signs it; `server_id` is what Vault wants to find in it.
pub(in crate::providers) async fn signed_identity(
    identity: &Identity,
    server_id: Option<&str>,
) -> Result<SignedIdentity, Error> {
    const QUESTION: &str = "Action=GetCallerIdentity&Version=2011-06-15";
    let region = identity.region();
    // Vault asks the global place unless it was told otherwise.
    let host =
        if region == "us-east-1" { "sts.amazonaws.com".to_owned() } else { format!("sts.{region}.amazonaws.com") };
    let mut headers = vec![
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
        ("host", host.clone()),
        ("content-length", QUESTION.len().to_string()),
    ];
    headers.extend(server_id.map(|id| ("x-vault-aws-iam-server-id", id.to_owned())));
    let url = format!("https://{host}/");
    let credentials = identity.credentials().await?;
    let request = signed(&credentials, (region, "sts"), &url, &headers, QUESTION.to_owned(), SystemTime::now())?;
    let lines: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), vec![value.to_str().unwrap_or_default()].into()))
        .collect();
    Ok(SignedIdentity {
        url: STANDARD.encode(&url),
        headers: STANDARD.encode(Value::Object(lines).to_string()),
        body: STANDARD.encode(QUESTION),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Name, headers, body, token of a session, signature.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, Option<&'a str>, &'a str);

    /// The POST cases of AWS's published Signature Version 4 test suite (all that we send is POST). The signature itself
    /// is the library's; which headers, body, scope and time go into it is ours.
    #[test]
    fn requests_are_signed_as_awss_test_suite_has_it() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let form = ("content-type", "application/x-www-form-urlencoded");
        let parameters = ("content-type", "application/x-www-form-urlencoded; charset=utf8");
        let cases: [Case; 5] = [
            ("post-vanilla", &[], "", None, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "post-x-www-form-urlencoded",
                &[form],
                "Param1=value1",
                None,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-x-www-form-urlencoded-parameters",
                &[parameters],
                "Param1=value1",
                None,
                "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
            ),
            (
                "post-header-value-case",
                &[("my-header1", "VALUE1")],
                "",
                None,
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-sts-header-before",
                &[],
                "",
                Some(token),
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ];
        // 2015-08-30T12:36:00Z
        let time = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        for (name, headers, body, session, expected) in cases {
            let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
            let credentials = Credentials::new("AKIDEXAMPLE", key, session.map(ToOwned::to_owned), None, "suite");
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let scope = ("us-east-1", "service");
            let url = "https://example.amazonaws.com/";
            let request = signed(&credentials, scope, url, &headers, body.to_owned(), time).unwrap();
            let authorization = request.headers()["authorization"].to_str().unwrap();
            let start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ";
            assert!(authorization.starts_with(start), "{name}: {authorization}");
            assert!(authorization.ends_with(&format!("Signature={expected}")), "{name}: {authorization}");
            assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z", "{name}");
        }
    }
}
