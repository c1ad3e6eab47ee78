//! No answer of AWS is read beyond its bound, whoever answers at the address: the SDK reads whatever comes.

use aws_sdk_secretsmanager::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_secretsmanager::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_secretsmanager::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

use crate::providers::LARGEST_ANSWER;

#[derive(Debug)]
pub(super) struct Bounded;

impl Intercept for Bounded {
    fn name(&self) -> &'static str {
        "Bounded"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, LARGEST_ANSWER));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_sdk_secretsmanager::config::retry::RetryConfig;
    use aws_sdk_secretsmanager::{Client, Config};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A service that answers one request with a value, followed by so many spaces.
    async fn service(spaces: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 16 << 10]).await;
            let body = format!("{{\"SecretString\": \"value\"}}{}", " ".repeat(spaces));
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = connection.write_all(head.as_bytes()).await;
            let _ = connection.write_all(body.as_bytes()).await;
        });
        url
    }

    #[tokio::test]
    async fn an_answer_beyond_the_bound_is_not_read() {
        for (spaces, is_read) in [(0, true), (LARGEST_ANSWER / 2, true), (LARGEST_ANSWER, false)] {
            let config = Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new("id", "key", None, None, "test"))
                .retry_config(RetryConfig::disabled())
                .endpoint_url(service(spaces).await)
                .interceptor(Bounded)
                .build();
            let answer = Client::from_conf(config).get_secret_value().secret_id("a").send().await;
            let value = answer.ok().and_then(|answer| answer.secret_string);
            assert_eq!(value.as_deref(), is_read.then_some("value"), "{spaces} spaces");
        }
    }
}
