//! HTTP/1.x over a stream of bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::{Body, ResponseHead, WireError};

/// A stream of bytes, plain or inside TLS.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Why an exchange did not come to its end.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Closed without a byte of an answer.
    #[error("the connection was closed without an answer")]
    Empty,
    /// The request could not be sent.
    #[error("send the request: {}", crate::plain(.0))]
    Send(io::Error),
    /// A RST, or another failure of the connection.
    #[error("receive the answer: {}", crate::plain(.0))]
    Receive(io::Error),
    /// Closed in the midst of the head or the body.
    #[error("the connection was closed in the midst of the answer{}", missing_bytes(.missing))]
    Cut {
        /// How much is missing, where the head said how long the body is.
        missing: Option<u64>,
    },
    /// The answer is not HTTP/1.x.
    #[error(transparent)]
    Wire(#[from] WireError),
}

fn missing_bytes(missing: &Option<u64>) -> String {
    missing.map(|bytes| format!(", {bytes} bytes before its end")).unwrap_or_default()
}

/// A connection on which requests are made one after another.
pub struct Connection {
    stream: Box<dyn ByteStream>,
    buffer: BytesMut,
    send_error: Option<io::Error>,
}

impl Connection {
    /// Takes over a connected stream.
    pub fn new(stream: impl ByteStream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new(), send_error: None }
    }

    /// Sends a request's bytes.
    ///
    /// # Errors
    /// [`HttpError::Send`], but not where the peer has hung up: it may have
    /// answered before, and the next read tells.
    pub async fn send(&mut self, request: &[u8]) -> Result<(), HttpError> {
        let sent = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        match sent.await {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                self.send_error = Some(error);
                Ok(())
            }
            sent => sent.map_err(HttpError::Send),
        }
    }

    /// Reads one head; an interim one (`100 Continue`) is followed by another.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn head(&mut self) -> Result<ResponseHead, HttpError> {
        loop {
            if let Some(head) = ResponseHead::take(&mut self.buffer)? {
                return Ok(head);
            }
            if !self.fill().await? {
                return Err(match self.send_error.take() {
                    Some(error) => HttpError::Send(error),
                    None if self.buffer.is_empty() => HttpError::Empty,
                    None => HttpError::Cut { missing: None },
                });
            }
        }
    }

    /// Reads some of the body, as it comes; `None` at its end.
    ///
    /// # Errors
    /// See [`HttpError`]. What came before the error has been handed out.
    pub async fn body(&mut self, body: &mut Body) -> Result<Option<Bytes>, HttpError> {
        loop {
            if let Some(bytes) = body.take(&mut self.buffer)? {
                return Ok(Some(bytes));
            }
            if body.is_done() {
                return Ok(None);
            }
            if !self.fill().await? {
                return if body.may_end() {
                    Ok(None)
                } else {
                    Err(HttpError::Cut { missing: body.missing() })
                };
            }
        }
    }

    /// Whether more came than belongs to the answer.
    pub fn has_excess(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// False at the stream's end.
    async fn fill(&mut self) -> Result<bool, HttpError> {
        self.buffer.reserve(16 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(HttpError::Receive(error)),
        }
    }
}
